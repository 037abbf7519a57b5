/** Bounds and times of an adapter. */
export interface OpenEngineLimits {
  /** Requests open at the engine, those among them that it was told to end; one more is refused with OVERLOADED. */
  readonly openRequests: number;
  /** Between two looks at its health and its load, in milliseconds. */
  readonly lookMs: number;
  /** For each answer about itself, in milliseconds. */
  readonly timeoutMs: number;
  /** For ending a request that it was told to end, in milliseconds. */
  readonly cancelMs: number;
  /** Between two tries to end a request that it does not know yet, in milliseconds. */
  readonly cancelAgainMs: number;
  /** Between two streams that are reset because the engine does not end them, in milliseconds: it never sees a burst. */
  readonly resetEveryMs: number;
  /** For ending a stream behind its last message, in milliseconds. */
  readonly lingerMs: number;
  /** UTF-16 units of the text of one answer. */
  readonly answerUnits: number;
  /** Blocks that it may tell of; with more, all are forgotten and asked for anew. */
  readonly kvBlocks: number;
  /** Adapters that it may have. */
  readonly adapters: number;
}

/** What every adapter uses unless told otherwise. */
export const OPENENGINE_LIMITS: OpenEngineLimits = {
  openRequests: 4_096,
  lookMs: 1_000,
  timeoutMs: 5_000,
  cancelMs: 5_000,
  cancelAgainMs: 50,
  resetEveryMs: 5,
  lingerMs: 1_000,
  answerUnits: 1 << 24,
  kvBlocks: 1 << 20,
  adapters: 1_024,
};
