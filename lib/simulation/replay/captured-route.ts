import type { RuleName } from "#lib/routing/rules/table";

/** What became of a row's request where it was captured; undefined where nobody knew. */
export interface CapturedRoute {
  /** Instance of the worker that it went to first. */
  readonly worker: bigint;
  /** Data-parallel rank there. */
  readonly rank: number;
  /** By which rule. */
  readonly rule: RuleName;
  /** Foreseen time from its placement to the first token, in ms. */
  readonly predictedMs: number | undefined;
  /** The time that it took. */
  readonly seenMs: number | undefined;
  /** Tokens of the prompt that were foreseen in the worker's cache. */
  readonly predictedTokens: number | undefined;
  /** Those that were found there. */
  readonly seenTokens: number | undefined;
}
