import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { Gate, type RemoteEncoder } from "./remote-encoder.ts";
import type { ThreadAnswer, ThreadOrder } from "./thread.ts";

/** How a pool of encoding threads is made. */
export interface ThreadPoolOptions {
  /** At most so many threads; each starts with its first text. */
  readonly threads: number;
  /** Calls that may be under way or waiting. */
  readonly queueLimit: number;
  readonly log: Log;
}

interface Waiting {
  readonly resolve: (tokens: Uint32Array[]) => void;
  readonly reject: (error: StatorError) => void;
}

/** One thread, what it was told to open, and who waits for it. */
interface Seat {
  worker: Worker | undefined;
  readonly opened: Set<number>;
  readonly waiting: Map<number, Waiting>;
}

/** Heap of one thread; a vocabulary of 250,000 tokens takes about 200 MB of it. */
const THREAD_HEAP_MB = 512;

/** Where a thread begins; built, the file has the ending of this one. */
function threadFile(): URL {
  const file = new URL("./thread.ts", import.meta.url);
  file.pathname = file.pathname.replace(/\.ts$/, extname(new URL(import.meta.url).pathname));
  return file;
}

/** Worker threads that encode in JavaScript, for machines without the native layer. A thread that dies is replaced. */
export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #gate: Gate;
  readonly #seats: Seat[];
  readonly #vocabularies = new Map<number, Uint8Array>();
  #nextKey = 1;
  #nextCall = 1;
  #closed = false;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
    this.#gate = new Gate(options.queueLimit);
    this.#seats = Array.from({ length: Math.max(1, options.threads) }, () => ({
      worker: undefined,
      opened: new Set(),
      waiting: new Map(),
    }));
  }

  /** Threads that run now. */
  get running(): number {
    return this.#seats.filter((seat) => seat.worker !== undefined).length;
  }

  /** An encoder for a vocabulary that was checked. Copies the bytes: a view would reach a thread with all around it. */
  open(vocabulary: Uint8Array): RemoteEncoder {
    const key = this.#nextKey++;
    this.#vocabularies.set(key, new Uint8Array(vocabulary));
    return {
      encode: (texts) => this.#gate.run(() => this.#encode(key, texts)),
      close: () => {
        this.#vocabularies.delete(key);
        for (const seat of this.#seats) if (seat.opened.delete(key)) this.#tell(seat, { kind: "close", key });
      },
    };
  }

  /** Ends every thread; who still waits gets DRAINING. */
  async close(): Promise<void> {
    this.#closed = true;
    const workers = this.#seats.flatMap((seat) => seat.worker ?? []);
    for (const seat of this.#seats) this.#vacate(seat, new StatorError("DRAINING", { what: "The tokenizer" }));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }

  #encode(key: number, texts: readonly string[]): Promise<Uint32Array[]> {
    const vocabulary = this.#vocabularies.get(key);
    if (this.#closed || !vocabulary) {
      return Promise.reject(new StatorError("DRAINING", { what: "The tokenizer" }));
    }
    const seat = this.#seats.reduce((best, each) => (each.waiting.size < best.waiting.size ? each : best));
    seat.worker ??= this.#start(seat);
    if (!seat.opened.has(key)) {
      seat.opened.add(key);
      this.#tell(seat, { kind: "open", key, vocabulary });
    }
    const call = this.#nextCall++;
    return new Promise((resolve, reject) => {
      seat.waiting.set(call, { resolve, reject });
      this.#tell(seat, { kind: "encode", key, call, texts });
    });
  }

  #tell(seat: Seat, order: ThreadOrder): void {
    seat.worker?.postMessage(order);
  }

  #start(seat: Seat): Worker {
    const worker = new Worker(threadFile(), {
      name: "tokenize",
      resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB },
    });
    worker.unref();
    worker.on("message", (answer: ThreadAnswer) => this.#settle(seat, answer));
    worker.on("error", (error) => {
      this.#options.log.error("tokenizing thread failed", { error });
      if (seat.worker === worker) this.#vacate(seat, new StatorError("INTERNAL", { detail: "tokenizing failed" }));
    });
    worker.on("exit", () => {
      if (seat.worker === worker) this.#vacate(seat, new StatorError("INTERNAL", { detail: "tokenizing ended" }));
    });
    return worker;
  }

  #settle(seat: Seat, { call, tokens, failure }: ThreadAnswer): void {
    const waiting = seat.waiting.get(call);
    seat.waiting.delete(call);
    if (tokens) waiting?.resolve([...tokens]);
    else waiting?.reject(new StatorError("INTERNAL", { detail: `tokenizing failed (${failure})` }));
  }

  #vacate(seat: Seat, error: StatorError): void {
    seat.worker = undefined;
    seat.opened.clear();
    for (const waiting of seat.waiting.values()) waiting.reject(error);
    seat.waiting.clear();
  }
}
