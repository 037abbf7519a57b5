import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";

/** How long somebody waits for one request: until its caller leaves, the worker ends, or its own time is up. */
export class RequestLife {
  readonly #abort = new AbortController();
  readonly #clock: Clock;
  readonly #ends: readonly AbortSignal[];
  #timer: Timer | undefined;

  /** Any of these signals ends it, with its reason. */
  constructor(clock: Clock, ends: readonly AbortSignal[]) {
    this.#clock = clock;
    this.#ends = ends;
    for (const signal of ends) signal.addEventListener("abort", this.#end);
    if (ends.some(({ aborted }) => aborted)) this.#end();
  }

  /** Aborts when nobody waits any more; its reason is a StatorError. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Sets the time that it has from now on, in milliseconds. */
  limit(timeoutMs: number): void {
    const error = new StatorError("DEADLINE", { deadlineMs: timeoutMs });
    this.#timer = this.#clock.after(timeoutMs, () => this.#abort.abort(error));
  }

  /** The request is over. */
  close(): void {
    this.#timer?.cancel();
    for (const signal of this.#ends) signal.removeEventListener("abort", this.#end);
  }

  readonly #end = (): void => this.#abort.abort(this.#ends.find(({ aborted }) => aborted)?.reason);
}
