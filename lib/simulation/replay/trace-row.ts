import type { CapturedRoute } from "./captured-route.ts";

/** One request of a trace. */
export interface TraceRow {
  /** Place in the trace, from 0. */
  readonly index: number;
  /** Arrival in ms since the start of the trace; undefined of a later turn that follows on the one before. */
  readonly atMs: number | undefined;
  /** Tokens of the prompt; of a delta, those that are new. */
  readonly inputTokens: number;
  /** Tokens of the answer, at least 1. */
  readonly outputTokens: number;
  /** Names of the prompt's blocks, of the trace's block size each; the last may be partial. */
  readonly names: BigUint64Array;
  /** Requests of a session come one after the other; undefined: it is of none. */
  readonly session: string | undefined;
  /** From the end of the turn before to this one, in ms; undefined: as the timestamps say. */
  readonly delayMs: number | undefined;
  /** Higher runs first. */
  readonly priority: number;
  /** The prompt goes on from the prompt and answer of the turn before, where there was one. */
  readonly isDelta: boolean;
  /** No other row of its session follows; undefined: that is not known. */
  readonly isLastTurn?: boolean;
  /** Where the row was captured: what became of its request then. */
  readonly captured?: CapturedRoute;
}
