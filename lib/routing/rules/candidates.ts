import type { KeptTimes } from "../cost/kept-times.ts";

/**
 * What is known of candidates, one column for each fact and one place in it for each candidate. Numbers without a unit are
 * counts. A table is filled anew for each choice; its columns are longer than `count`.
 */
export interface Candidates {
  /** How many there are. */
  count: number;
  /** Their instances. */
  readonly workers: BigUint64Array;
  /** Data-parallel rank, from 0. */
  readonly rank: Float64Array;
  /** 1 where it is known what it holds, by events or by what was sent there; else 0. */
  readonly known: Float64Array;
  /** Tokens of the prompt that the engine can reuse as they are, in the grain in which it reuses; less than the prompt. */
  readonly deviceTokens: Float64Array;
  /** Further tokens that follow on those, in memory of its host. */
  readonly hostTokens: Float64Array;
  /** Further tokens that follow on those, on its disk. */
  readonly diskTokens: Float64Array;
  /** Further tokens that follow on those, in a store outside of it. */
  readonly externalTokens: Float64Array;
  /** Blocks that are known of it, in all tiers. */
  readonly heldBlocks: Float64Array;
  /** Prompt tokens that are still to be computed there. */
  readonly prefillTokens: Float64Array;
  /** The same with what was cached, as the reference counts them. */
  readonly rawPrefillTokens: Float64Array;
  /** Of `prefillTokens`, what passes have computed already. */
  readonly startedTokens: Float64Array;
  /** Of `prefillTokens`, what was left to compute when the pass that runs began; 0 while a prompt can still join it. */
  readonly passingTokens: Float64Array;
  /** Prompts whose last pass this one would share. */
  readonly sharingPrompts: Float64Array;
  /** Milliseconds since the pass that runs there began; 0 where it is idle. */
  readonly passingMs: Float64Array;
  /** Distinct blocks of its requests, with those of this prompt. */
  readonly potentialBlocks: Float64Array;
  /** Requests there that have not ended. */
  readonly openRequests: Float64Array;
  /** Of those, requests that wait at the worker. */
  readonly waitingRequests: Float64Array;
  /** Requests that it runs side by side; 0 where nobody knows. */
  readonly maxRunningRequests: Float64Array;
  /** Requests that decode. */
  readonly decodeSequences: Float64Array;
  /** Tokens of their contexts. */
  readonly decodeContextTokens: Float64Array;
  /** Blocks of its pool in use. */
  readonly usedBlocks: Float64Array;
  /** Blocks of its pool; 0 where nobody knows. */
  readonly totalBlocks: Float64Array;
  /** Share of the last while in which it computed prompts, 0 to 1. */
  readonly prefillUtilisation: Float64Array;
  /** Tokens that it made in a second lately; 0 before anything was seen. */
  readonly tokensPerSecond: Float64Array;
  /** The choice at which it last got a prompt that nobody had anything of, counted from 1; 0 for never. */
  readonly coldTurn: Float64Array;
  /** Sum of the weights of its taints that the request prefers. */
  readonly preference: Float64Array;
  /** 1 where its passes were timed, or it said how long they take; else 0. */
  readonly timed: Float64Array;
  /** Tokens that its KV pool holds; 0 where nobody knows. */
  readonly poolTokens: Float64Array;
  /** It computes prompts in whole chunks of so many tokens, and what is left of them in a pass of its own; 0: it cuts them anywhere. */
  readonly chunkTokens: Float64Array;
  /**
   * Milliseconds until what it lacks of the prompt's blocks has come from who computed them; 0 where nothing is handed over,
   * infinite where it cannot be: then it is computed again.
   */
  readonly pullMs: Float64Array;
  /** How long its passes take, as it was known then: what was learned since changes none of these. */
  readonly times: KeptTimes[];
}

/** The columns that hold numbers, in the order in which they are kept. */
export const COLUMNS = [
  "rank",
  "known",
  "deviceTokens",
  "hostTokens",
  "diskTokens",
  "externalTokens",
  "heldBlocks",
  "prefillTokens",
  "rawPrefillTokens",
  "startedTokens",
  "passingTokens",
  "sharingPrompts",
  "passingMs",
  "potentialBlocks",
  "openRequests",
  "waitingRequests",
  "maxRunningRequests",
  "decodeSequences",
  "decodeContextTokens",
  "usedBlocks",
  "totalBlocks",
  "prefillUtilisation",
  "tokensPerSecond",
  "coldTurn",
  "preference",
  "timed",
  "poolTokens",
  "chunkTokens",
  "pullMs",
] as const satisfies readonly Exclude<keyof Candidates, "count" | "workers" | "times">[];

/** Name of a column. */
export type Column = (typeof COLUMNS)[number];

/** Writes the numbers of a table, column after column, from a place on; returns the place behind them. */
export function writeColumns(of: Candidates, values: Float64Array, from: number): number {
  let at = from;
  for (const name of COLUMNS) {
    const column = of[name];
    for (let row = 0; row < of.count; row++) values[at++] = column[row]!;
  }
  return at;
}

/** Reads what `writeColumns` wrote into a table of as many candidates; returns the place behind them. */
export function readColumns(values: Float64Array, from: number, into: Candidates): number {
  let at = from;
  for (const name of COLUMNS) {
    into[name].set(values.subarray(at, at + into.count));
    at += into.count;
  }
  return at;
}

/** A table with room for so many. */
export function createCandidates(capacity: number): Candidates {
  const columns = Object.fromEntries(COLUMNS.map((name) => [name, new Float64Array(capacity)]));
  return { count: 0, workers: new BigUint64Array(capacity), times: [], ...(columns as Record<Column, Float64Array>) };
}
