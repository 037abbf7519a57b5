import type { Clock, Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";

/** What ends one fetch early: whoever asked for it, or its time. */
export class Halt {
  readonly #from: AbortSignal;
  readonly #timer: Timer;
  readonly #calls = new Set<(error: StatorError) => void>();
  #error: StatorError | undefined;

  /** Listens until `close`. */
  constructor(from: AbortSignal, deadlineMs: number, clock: Clock) {
    this.#from = from;
    this.#timer = clock.after(deadlineMs, () => this.#halt(new StatorError("DEADLINE", { deadlineMs })));
    if (from.aborted) this.#aborted();
    else from.addEventListener("abort", this.#aborted);
  }

  /** Why it ends; undefined while it may go on. */
  get error(): StatorError | undefined {
    return this.#error;
  }

  /** Whether whoever asked for it gave it up. */
  get isAborted(): boolean {
    return this.#from.aborted;
  }

  /** Throws when it is to end. */
  check(): void {
    if (this.#error) throw this.#error;
  }

  /** Calls once when it is to end, at once when it is. Returns what stops listening. */
  listen(call: (error: StatorError) => void): () => void {
    if (this.#error) call(this.#error);
    else this.#calls.add(call);
    return () => void this.#calls.delete(call);
  }

  /** A promise, or the error as soon as it is to end. What the promise brings later is dropped. */
  async race<Value>(promise: Promise<Value>): Promise<Value> {
    const ended = Promise.withResolvers<never>();
    const unlisten = this.listen(ended.reject);
    try {
      return await Promise.race([promise, ended.promise]);
    } finally {
      unlisten();
    }
  }

  /** It is over. */
  close(): void {
    this.#timer.cancel();
    this.#from.removeEventListener("abort", this.#aborted);
  }

  readonly #aborted = (): void => {
    const reason: unknown = this.#from.reason;
    this.#halt(reason instanceof DOMException ? new StatorError("CANCELLED") : asStatorError(reason));
  };

  #halt(error: StatorError): void {
    if (this.#error) return;
    this.#error = error;
    for (const call of [...this.#calls]) call(error);
  }
}
