import type { Clock } from "#lib/base/clock";

/** When the event loop counts as lagging, and when no longer. */
export interface LagOptions {
  /** Time between two looks. */
  readonly sampleMs: number;
  /** Share of the time since the last look that the loop was busy: above this it begins to lag. */
  readonly busyShare: number;
  /** A loop that lags does so until the share is no more than this; below `busyShare`. */
  readonly calmShare: number;
}

const USUAL: LagOptions = { sampleMs: 20, busyShare: 0.85, calmShare: 0.7 };

/**
 * Tells whether the event loop lags, from `load`: the share of the time since it was last asked in which the loop did not
 * wait. Cheap: looks once in sampleMs.
 */
export function createLagProbe(clock: Clock, load: () => number, options: LagOptions = USUAL): () => boolean {
  let lagging = false;
  let lookedMs = clock.nowMs();
  return () => {
    const nowMs = clock.nowMs();
    if (nowMs - lookedMs < options.sampleMs) return lagging;
    lookedMs = nowMs;
    lagging = load() > (lagging ? options.calmShare : options.busyShare);
    return lagging;
  };
}
