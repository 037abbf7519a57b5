import { extname } from "node:path";
import { type Transferable, Worker } from "node:worker_threads";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { ThreadAnswer, ThreadOrder } from "./protocol.ts";

/** How a thread is started and when it ends. */
export interface CallThreadOptions {
  /** Where it begins; it calls `serveOrders`. */
  readonly file: URL;
  /** What it begins with, as `workerData`. */
  readonly data?: unknown;
  /** What it does, such as `tokenizing`; for the log and for those whose call it failed. */
  readonly work: string;
  /** Most memory that its JavaScript takes; beyond, it ends. */
  readonly heapMb: number;
  /** undefined: it stays, and calls take what they take. */
  readonly patience?: ThreadPatience;
  /** Told of threads that ended by themselves. */
  readonly log: Log;
  /** Called when it ended, whatever the reason: what it was told is forgotten. */
  readonly onEnd?: () => void;
}

/** How long a thread may be idle, and how long at work on one call. */
export interface ThreadPatience {
  /** Without a call for so long it ends and gives its memory back. */
  readonly idleMs: number;
  /** With one call for so long it ends, and whoever waits is refused. */
  readonly workMs: number;
  /** Tells how long it was idle or at work. */
  readonly clock: Clock;
}

interface Waiting {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: StatorError) => void;
}

/** The file of a thread beside the module at `base`, which is the same file in a checkout (`.ts`) and built (`.js`). */
export function threadFile(name: string, base: string): URL {
  return new URL(`./${name}${extname(new URL(base).pathname)}`, base);
}

/** A worker thread that answers calls one after the other. It starts with the first, and again after it died. */
export class CallThread<Order> {
  readonly #options: CallThreadOptions;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  /** Runs out when it was idle, or at work, for too long. */
  #timer: Timer | undefined;
  /** Things in it that somebody comes back for. */
  #holds = 0;
  #nextCall = 1;
  #closed = false;

  constructor(options: CallThreadOptions) {
    this.#options = options;
  }

  /** Calls that are not answered. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether the thread is there. */
  get running(): boolean {
    return this.#worker !== undefined;
  }

  /** Resolves with the answer, or rejects with the StatorError that the thread threw; OVERLOADED when it died of its work. */
  call<Answer>(order: Order, transfer: readonly Transferable[] = []): Promise<Answer> {
    if (this.#closed) return Promise.reject(new StatorError("DRAINING", { what: "This frontend" }));
    const worker = this.#start();
    const call = this.#nextCall++;
    return new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(call, { resolve, reject });
      if (this.#waiting.size === 1) this.#wait();
      worker.postMessage({ call, order } satisfies ThreadOrder<Order>, [...transfer]);
    });
  }

  /** Tells the thread something, if it is there. */
  tell(order: Order): void {
    this.#worker?.postMessage({ call: 0, order } satisfies ThreadOrder<Order>);
  }

  /** Keeps it from ending as idle until the function that it returns is called, once. */
  hold(): () => void {
    this.#holds++;
    this.#wait();
    return () => {
      this.#holds--;
      this.#wait();
    };
  }

  /** Ends it; who still waits gets DRAINING. */
  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    this.#vacate(new StatorError("DRAINING", { what: "This frontend" }));
    await worker?.terminate();
  }

  #start(): Worker {
    if (this.#worker) return this.#worker;
    const { file, data, work, heapMb, log } = this.#options;
    const resourceLimits = { maxOldGenerationSizeMb: heapMb };
    const worker = new Worker(file, { name: work, workerData: data, resourceLimits });
    worker.unref();
    worker.on("message", (answer: ThreadAnswer<never>) => this.#settle(answer));
    worker.on("error", (error: NodeJS.ErrnoException) => {
      if (this.#worker !== worker) return;
      if (error.code === "ERR_WORKER_OUT_OF_MEMORY") return this.#giveUp("it ran out of memory");
      log.error("thread failed", { work, error });
      this.#vacate(new StatorError("INTERNAL", { detail: `${work} failed` }));
    });
    worker.on("exit", () => {
      if (this.#worker === worker) this.#vacate(new StatorError("INTERNAL", { detail: `${work} ended` }));
    });
    this.#worker = worker;
    return worker;
  }

  #settle({ call, answer, refusal }: ThreadAnswer<never>): void {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (refusal) waiting?.reject(new StatorError(refusal.reason, refusal.facts, { param: refusal.param }));
    else waiting?.resolve(answer as never);
    this.#wait();
  }

  #wait(): void {
    const { patience } = this.#options;
    if (!patience || !this.#worker) return;
    this.#timer?.cancel();
    if (this.#waiting.size === 0 && this.#holds > 0) return;
    if (this.#waiting.size === 0) this.#timer = patience.clock.after(patience.idleMs, () => this.#rest());
    else this.#timer = patience.clock.after(patience.workMs, () => this.#giveUp("it took too long"));
  }

  /** What a caller sent was too much for it: it ends, and the next call starts another. */
  #giveUp(why: string): void {
    this.#options.log.warn("thread ended", { work: this.#options.work, why });
    this.#rest();
  }

  #rest(): void {
    const worker = this.#worker;
    this.#vacate(new StatorError("OVERLOADED", { what: this.#options.work }));
    worker?.terminate().catch((error: unknown) => this.#options.log.warn("thread did not end", { error }));
  }

  #vacate(error: StatorError): void {
    this.#timer?.cancel();
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#options.onEnd?.();
  }
}
