import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";

/**
 * Runs one attempt with a time limit of its own. The signal tells the attempt that its time is over or that `parent`
 * aborted; an attempt that does not listen is left behind. Throws UNAVAILABLE at the limit, else what the attempt threw
 * as a StatorError.
 */
export async function withLimit<Result>(
  limit: { clock: Clock; limitMs: number; what: string; parent: AbortSignal },
  run: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const abort = new AbortController();
  let give: (error: StatorError) => void = () => {};
  const over = new Promise<never>((_, reject) => {
    give = reject;
  });
  const end = (detail: string) => {
    give(new StatorError("UNAVAILABLE", { what: limit.what, detail }));
    abort.abort();
  };
  const timer = limit.clock.after(limit.limitMs, () => end(`no answer within ${Math.round(limit.limitMs)} ms`));
  const onParent = () => end("closing");
  limit.parent.addEventListener("abort", onParent);
  if (limit.parent.aborted) onParent();
  try {
    return await Promise.race([over, run(abort.signal)]);
  } catch (error) {
    throw asStatorError(error);
  } finally {
    timer.cancel();
    limit.parent.removeEventListener("abort", onParent);
  }
}

/** A wait that can be cut short. One waiter at a time; a wake without a waiter is remembered for the next wait. */
export class Alarm {
  readonly #clock: Clock;
  #rung = false;
  #end: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present wait, or the next one at once. */
  ring(): void {
    this.#rung = true;
    this.#end?.();
  }

  /** Waits for the time or for a ring. */
  async wait(forMs: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.after(forMs, resolve);
        this.#end = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#end = undefined;
    }
    this.#rung = false;
  }
}
