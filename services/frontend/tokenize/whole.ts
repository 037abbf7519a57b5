import type { Clock } from "#lib/base/clock";
import type { Log } from "#lib/host/log";
import type { SpecialToken } from "#lib/text/special";
import { CallThread, threadFile } from "../thread/call-thread.ts";
import type { WholeText } from "./remote-encoder.ts";
import type { SplitOrder, SplitText } from "./split-thread.ts";

/** Encodes long texts without holding the event loop, their special tokens found too. */
export interface WholeEncoder {
  /** Tokens of a text; takes the bytes. */
  encode(text: WholeText): Promise<Uint32Array>;
  /** Forgets the special tokens. */
  close(): void;
}

/** Encodes one plain text as UTF-8 elsewhere. */
export type EncodePlain = (text: Uint8Array) => Promise<Uint32Array>;

/** Plain texts that are handed out in one turn: about a millisecond. */
const BATCH = 128;
const HEAP_MB = 512;
const IDLE_MS = 15_000;
const WORK_MS = 30_000;

/**
 * Cuts long texts at special tokens in a thread. The library could do both at once, but searches token by token over
 * pieces in a list, in time that grows with the square of the special tokens in a text.
 */
export class WholeEncoders {
  readonly #thread: CallThread<SplitOrder>;
  readonly #opened = new Set<number>();
  #nextKey = 1;

  constructor({ clock, log }: { clock: Clock; log: Log }) {
    this.#thread = new CallThread({
      file: threadFile("split-thread", import.meta.url),
      work: "long texts",
      heapMb: HEAP_MB,
      patience: { idleMs: IDLE_MS, workMs: WORK_MS, clock },
      log,
      onEnd: () => this.#opened.clear(),
    });
  }

  /** An encoder for a model with these special tokens. */
  open(tokens: readonly SpecialToken[], encodePlain: EncodePlain): WholeEncoder {
    const key = this.#nextKey++;
    return {
      encode: async (text) => {
        const order: SplitOrder = { kind: "split", key, text };
        const isOpen = this.#opened.has(key);
        this.#opened.add(key);
        const cut = await this.#thread.call<SplitText>(isOpen ? order : { kind: "open", key, tokens, first: order });
        return await encodeParts(cut, encodePlain);
      },
      close: () => {
        if (this.#opened.delete(key)) this.#thread.tell({ kind: "close", key });
      },
    };
  }

  /** Ends the thread. */
  close(): Promise<void> {
    return this.#thread.close();
  }
}

async function encodeParts({ parts, plain }: SplitText, encodePlain: EncodePlain): Promise<Uint32Array> {
  const batches: Uint32Array[] = [];
  let size = 0;
  let from = 0;
  for (let at = 0; at < parts.length; at += BATCH) {
    const found = await Promise.all(
      Array.from(parts.subarray(at, at + BATCH), (part) => {
        if (part >= 0) return Promise.resolve(Uint32Array.of(part));
        const start = from;
        from += -1 - part;
        return encodePlain(plain.subarray(start, from));
      }),
    );
    for (const tokens of found) {
      batches.push(tokens);
      size += tokens.length;
    }
  }
  return concat(batches, size);
}

function concat(batches: readonly Uint32Array[], size: number): Uint32Array {
  const all = new Uint32Array(size);
  let at = 0;
  for (const tokens of batches) {
    all.set(tokens, at);
    at += tokens.length;
  }
  return all;
}
