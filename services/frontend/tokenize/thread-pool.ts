import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { CallThread, threadFile } from "../thread/call-thread.ts";
import { Gate } from "./encoder.ts";
import type { RemoteEncoder } from "./remote-encoder.ts";
import type { EncodingOrder } from "./thread.ts";

/** How a pool of encoding threads is made. */
export interface ThreadPoolOptions {
  /** At most so many threads; each starts with its first text. */
  readonly threads: number;
  /** Calls that may be under way or waiting. */
  readonly queueLimit: number;
  /** Told of threads that ended by themselves. */
  readonly log: Log;
}

/** One thread and what it was told to open. */
interface Seat {
  readonly thread: CallThread<EncodingOrder>;
  readonly opened: Set<number>;
}

/** Heap of one thread; a vocabulary of 250,000 tokens takes about 200 MB of it. */
const THREAD_HEAP_MB = 512;

function createSeat(log: Log): Seat {
  const opened = new Set<number>();
  const thread = new CallThread<EncodingOrder>({
    file: threadFile("thread", import.meta.url),
    work: "tokenizing",
    heapMb: THREAD_HEAP_MB,
    log,
    onEnd: () => opened.clear(),
  });
  return { thread, opened };
}

/** Worker threads that encode in JavaScript, for machines without the native layer. A thread that dies is replaced. */
export class ThreadPool {
  readonly #gate: Gate;
  readonly #seats: Seat[];
  readonly #vocabularies = new Map<number, Uint8Array>();
  #nextKey = 1;
  #closed = false;

  constructor({ threads, queueLimit, log }: ThreadPoolOptions) {
    this.#gate = new Gate(queueLimit);
    this.#seats = Array.from({ length: Math.max(1, threads) }, () => createSeat(log));
  }

  /** Threads that run now. */
  get running(): number {
    return this.#seats.filter(({ thread }) => thread.running).length;
  }

  /** An encoder for a vocabulary that was checked. Copies the bytes: a view would reach a thread with all around it. */
  open(vocabulary: Uint8Array): RemoteEncoder {
    const key = this.#nextKey++;
    this.#vocabularies.set(key, new Uint8Array(vocabulary));
    return {
      encode: (texts) => this.#gate.run(() => this.#call(key, { kind: "encode", key, texts })),
      encodeWhole: async (text) => {
        const [tokens] = await this.#gate.run(() => this.#call(key, { kind: "whole", key, text }));
        return tokens ?? new Uint32Array(0);
      },
      close: () => {
        this.#vocabularies.delete(key);
        for (const { thread, opened } of this.#seats) if (opened.delete(key)) thread.tell({ kind: "close", key });
      },
    };
  }

  /** Ends every thread; who still waits gets DRAINING. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#seats.map(({ thread }) => thread.close()));
  }

  #call(key: number, order: EncodingOrder): Promise<Uint32Array[]> {
    const vocabulary = this.#vocabularies.get(key);
    if (this.#closed || !vocabulary) {
      return Promise.reject(new StatorError("DRAINING", { what: "The tokenizer" }));
    }
    const { thread, opened } = this.#seats.reduce((best, each) =>
      each.thread.waiting < best.thread.waiting ? each : best,
    );
    const isOpen = opened.has(key);
    opened.add(key);
    return thread.call<Uint32Array[]>(isOpen ? order : { kind: "open", key, vocabulary, first: order });
  }
}
