/** Bounds of the workers that are served in this process for engines that run elsewhere. */
export interface NearLimits {
  /** Engines open at a time, those that are being opened among them; one more is refused with LIMIT. */
  readonly engines: number;
  /** Engines that are being opened at a time; the others wait. */
  readonly openings: number;
  /** For an engine to open, from its turn on, in milliseconds: shorter than callers wait for Welcome. */
  readonly openMs: number;
}

/** What is used unless told otherwise. */
export const NEAR_LIMITS: NearLimits = { engines: 1_024, openings: 16, openMs: 4_000 };
