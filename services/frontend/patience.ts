import type { Clock, Timer } from "#lib/base/clock";

/** How long readers may take. */
export interface ReaderPatience {
  /** Tells when a reader takes too little. */
  readonly clock: Clock;
  /** For what waits to be taken, and more where much does. */
  readonly slowMs: number;
}

/** What a reader takes at least, in bytes per second, beyond the patience for little. */
const LEAST_RATE = 4096;

/**
 * Calls when a reader that so many bytes wait for has had its time. Progress counts and not silence: a reader of a byte a
 * second is never silent.
 */
export function afterPatience({ clock, slowMs }: ReaderPatience, backlogBytes: number, call: () => void): Timer {
  return clock.after(slowMs + (backlogBytes / LEAST_RATE) * 1000, call);
}
