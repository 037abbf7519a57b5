import type { Clock } from "#lib/base/clock";

/** Resolves after so long; rejects with the reason of the signal when that aborts before. It keeps no process alive. */
export function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    // The reason of a signal is what its owner says it is.
    const abort = () => {
      timer.cancel();
      reject(signal.reason as Error);
    };
    const timer = clock.after(ms, () => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}
