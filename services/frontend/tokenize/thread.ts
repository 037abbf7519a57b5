import { parentPort } from "node:worker_threads";
import { assert } from "#lib/base/errors";
import { createBytePairEncoder } from "#lib/text/byte-pair";
import type { SegmentEncoder } from "#lib/text/tokenizer";
import { checkVocabulary } from "#lib/text/vocabulary";

/** What a thread is told. A vocabulary is opened before the first text that needs it; keys are never used twice. */
export type ThreadOrder =
  | { readonly kind: "open"; readonly key: number; readonly vocabulary: Uint8Array }
  | { readonly kind: "encode"; readonly key: number; readonly call: number; readonly texts: readonly string[] }
  | { readonly kind: "close"; readonly key: number };

/** What a thread answers to each encode, in order. */
export interface ThreadAnswer {
  readonly call: number;
  readonly tokens: readonly Uint32Array<ArrayBuffer>[] | undefined;
  /** Set when it failed. */
  readonly failure: string | undefined;
}

const port = parentPort;
assert(port, "this file is the start of a worker thread");

const encoders = new Map<number, SegmentEncoder>([]);

function encode(key: number, texts: readonly string[]): Uint32Array<ArrayBuffer>[] {
  const encoder = encoders.get(key);
  assert(encoder, "a vocabulary is opened before it is used");
  return texts.map((text) => new Uint32Array(encoder.encode(text)));
}

port.on("message", (order: ThreadOrder) => {
  if (order.kind === "close") encoders.delete(order.key);
  else if (order.kind === "open") encoders.set(order.key, createBytePairEncoder(checkVocabulary(order.vocabulary)));
  else {
    try {
      const tokens = encode(order.key, order.texts);
      const answer: ThreadAnswer = { call: order.call, tokens, failure: undefined };
      port.postMessage(
        answer,
        tokens.map((each) => each.buffer),
      );
    } catch (error) {
      const failure = error instanceof Error ? error.message : "unknown";
      port.postMessage({ call: order.call, tokens: undefined, failure } satisfies ThreadAnswer);
    }
  }
});
