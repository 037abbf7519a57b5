import type { Chance } from "./chance.ts";

/** How long one waits before the next attempt. */
export interface BackoffTimes {
  /** After the first failure. */
  readonly firstMs: number;
  /** Where the doubling ends. */
  readonly longestMs: number;
}

/** Beyond so many doublings a number of milliseconds is no time any more. */
const MOST_DOUBLINGS = 40;

/**
 * Waits between attempts: doubled each time up to the longest. With a chance each is shortened to a half at least, so that
 * many who failed together do not come back together; without one they are exact.
 */
export class Backoff {
  readonly #times: BackoffTimes;
  readonly #chance: Chance | undefined;
  #waits = 0;

  constructor(times: BackoffTimes, chance?: Chance) {
    this.#times = times;
    this.#chance = chance;
  }

  /** Waits since the last success. */
  get waits(): number {
    return this.#waits;
  }

  /** The next wait, in milliseconds: after a failure. */
  nextMs(): number {
    const { firstMs, longestMs } = this.#times;
    const waitMs = Math.min(longestMs, firstMs * 2 ** Math.min(this.#waits++, MOST_DOUBLINGS));
    return this.#chance ? waitMs * (0.5 + this.#chance.next() / 2) : waitMs;
  }

  /** After a success: the next wait is the first again. */
  reset(): void {
    this.#waits = 0;
  }
}
