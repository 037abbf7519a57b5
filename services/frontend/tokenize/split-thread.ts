import { assert } from "#lib/base/errors";
import { createSplitter, type SegmentSink, type Splitter } from "#lib/text/segment";
import type { SpecialToken } from "#lib/text/special";
import { type Answered, serveOrders } from "../thread/serve.ts";
import type { WholeText } from "./remote-encoder.ts";

/** What a thread that cuts texts at special tokens is told. Tokens are opened with the first text; keys are never used twice. */
export type SplitOrder =
  | {
      readonly kind: "open";
      readonly key: number;
      readonly tokens: readonly SpecialToken[];
      readonly first: SplitOrder;
    }
  | { readonly kind: "split"; readonly key: number; readonly text: WholeText }
  | { readonly kind: "close"; readonly key: number };

/** A text that was cut. */
export interface SplitText {
  /** In order: the id of a special token, or `-1 - bytes` for so many bytes of plain text. */
  readonly parts: Int32Array<ArrayBuffer>;
  /** All plain texts, one behind the other, as UTF-8. */
  readonly plain: Uint8Array<ArrayBuffer>;
}

/** Cuts texts at the tokens of each key. */
class Cutting {
  readonly #splitters = new Map<number, Splitter>();

  handle(order: SplitOrder): Answered<SplitText> | undefined {
    switch (order.kind) {
      case "open":
        this.#splitters.set(order.key, createSplitter(order.tokens));
        return this.handle(order.first);
      case "split":
        return this.#split(order.key, order.text);
      case "close":
        this.#splitters.delete(order.key);
        return undefined;
    }
  }

  #split(key: number, { utf8, content }: WholeText): Answered<SplitText> {
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(utf8);
    const splitter = this.#splitters.get(key);
    assert(splitter, "tokens are opened before they are used");
    const parts: number[] = [];
    const bytes = new Uint8Array(Buffer.byteLength(text));
    const encoder = new TextEncoder();
    let size = 0;
    const sink: SegmentSink = {
      special: ({ id }) => void parts.push(id),
      plain(start, end) {
        const { written } = encoder.encodeInto(text.slice(start, end), bytes.subarray(size));
        parts.push(-1 - written);
        size += written;
      },
    };
    splitter.split(text, sink, { content });
    const answer: SplitText = { parts: new Int32Array(parts), plain: bytes.slice(0, size) };
    return { answer, transfer: [answer.parts.buffer, answer.plain.buffer] };
  }
}

const cutting = new Cutting();
serveOrders((order: SplitOrder) => cutting.handle(order));
