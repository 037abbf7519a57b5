/** What an engine of text of a module is held to. */
export interface TextEngineLimits {
  /** Requests that run side by side, where the engine says no smaller number. */
  readonly maxRunning: number;
  /** Requests that may wait for a place; one more is refused with OVERLOADED. */
  readonly maxWaiting: number;
  /** UTF-16 units of the text of one answer; one with more fails. */
  readonly answerUnits: number;
  /** Time to end an answer that nobody waits for any more, in milliseconds. It keeps its place; when none is left, the engine has failed. */
  readonly cancelMs: number;
  /** Time for its `close`, in milliseconds. */
  readonly closeMs: number;
}

/** What every one is held to unless told otherwise. */
export const TEXT_ENGINE_LIMITS: TextEngineLimits = {
  maxRunning: 256,
  maxWaiting: 4_096,
  answerUnits: 1 << 24,
  cancelMs: 5_000,
  closeMs: 5_000,
};
