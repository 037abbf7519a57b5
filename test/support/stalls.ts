/** A beat this often; one that comes this much too late found the process, or the whole machine, standing still. */
const BEAT_MS = 50;
const STALL_MS = 400;

/** Longest time of a test that asks whether there was a stall while it ran. */
const TEST_MS = 60_000;

/** Notices when its process stands still: no beat of it comes then, and the next is late. */
export class StallMeter {
  readonly #nowMs: () => number;
  #lastMs: number;
  #stalledMs = 0;
  #endedMs = Number.NEGATIVE_INFINITY;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#lastMs = nowMs();
  }

  /** To be called every 50 ms; in between it does no harm. */
  beat(): void {
    const nowMs = this.#nowMs();
    const lateMs = nowMs - this.#lastMs - BEAT_MS;
    this.#lastMs = nowMs;
    if (lateMs < STALL_MS) return;
    this.#stalledMs += lateMs;
    this.#endedMs = nowMs;
  }

  /** Time that it stood still since it was made, in milliseconds; shorter stalls than 400 ms are no stalls. */
  get stalledMs(): number {
    this.beat();
    return this.#stalledMs;
  }

  /** Whether it stood still at some time in the last `forMs`. */
  stoodStillWithin(forMs: number): boolean {
    this.beat();
    return this.#nowMs() - this.#endedMs <= forMs;
  }
}

/** The meter of this process. */
export const stalls = new StallMeter(() => performance.now());
setInterval(() => stalls.beat(), BEAT_MS).unref();

/**
 * Option of tests over leases and real processes: one that failed begins again, with everything of its own made anew, where
 * the machine was measured to stand still while it ran, since leases lapse then as they should. Nothing else is tried again.
 */
export const AFTER_STALL = {
  count: 3,
  delay: 1_000,
  condition: (): boolean => stalls.stoodStillWithin(TEST_MS),
} as const;
