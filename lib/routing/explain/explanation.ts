import type { Decision, Missing } from "../decision.ts";
import type { BypassVerdict } from "../legs/bypass.ts";
import type { Leg } from "../router.ts";
import type { CostUnit, Term } from "../rules/rule.ts";

/** One candidate of a decision, at the moment of the choice. */
export interface ExplainedCandidate {
  /** Its instance. */
  readonly worker: bigint;
  /** From 0. */
  readonly rank: number;
  /** What was compared, weighed by what the request prefers; Infinity for one that the rule left out. */
  readonly cost: number;
  /** What the cost is made of, before it was weighed. */
  readonly terms: readonly Term[];
  /** What the terms were multiplied by for the taints that the request prefers; 1 for none. */
  readonly preferenceFactor: number;
  /** It was known what it holds. */
  readonly prefixesKnown: boolean;
  /** It was known how fast it is. */
  readonly timesKnown: boolean;
  /** Tokens of the prompt that its engine has. */
  readonly deviceTokens: number;
  /** Further ones in memory of its host. */
  readonly hostTokens: number;
  /** Further ones on its disk. */
  readonly diskTokens: number;
  /** Further ones in a store outside. */
  readonly externalTokens: number;
  /** Prompt tokens that were to be computed there before. */
  readonly prefillTokens: number;
  /** Requests that were open there. */
  readonly openRequests: number;
  /** Distinct blocks of its requests, with this one. */
  readonly potentialBlocks: number;
  /** Predicted milliseconds to the first token; undefined where its times were not known. */
  readonly firstTokenMs: number | undefined;
}

/** The least change of one thing that would have changed the choice. */
export interface Flip {
  /** What would have to be otherwise. */
  readonly what: "cached tokens" | "tokens to compute" | "open requests";
  /** Whose: a place among the candidates. */
  readonly candidate: number;
  /** By how much; below 0 for fewer. */
  readonly by: number;
  /** How much its cost changes with it, in the rule's unit. */
  readonly cost: number;
  /** Who is chosen then: a place among the candidates. */
  readonly chooses: number;
}

/** What was foreseen of a choice, and what came. */
export interface Outcome {
  /** Milliseconds to the first token; undefined while it is not known. */
  readonly firstTokenMs: number | undefined;
  /** Tokens of the prompt that need not be computed; undefined while it is not known. */
  readonly cachedTokens: number | undefined;
}

/** Why one prompt went where it went, or would go. */
export interface Explanation {
  /** Of the request. */
  readonly requestId: string;
  /** Choices of the request that went there with it. */
  readonly choices: readonly number[];
  /** What was placed: all of the answer, or a leg of it. */
  readonly leg: Leg;
  /** What the bypass rule said; undefined where nothing was to be bypassed. */
  readonly bypass: BypassVerdict | undefined;
  /** Milliseconds since the choice; 0 for one that was not made. */
  readonly agoMs: number;
  /** The rule by which costs are, in force at the choice. */
  readonly rule: string;
  /** What its costs are in. */
  readonly unit: CostUnit;
  /** Why another rule than the configured one is in force, one sentence; empty when it is that one. */
  readonly why: string;
  /** What the rule lives on and was not known. */
  readonly missing: readonly Missing[];
  /** What decided: the rule, a pin or a session. */
  readonly decision: Decision;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Tokens of a block; 1 where prefixes could not be compared. */
  readonly blockTokens: number;
  /** The candidates, cheapest first; of very many, those that cost least and the chosen one. */
  readonly candidates: readonly ExplainedCandidate[];
  /** How many there were. */
  readonly of: number;
  /** Place of the chosen one among the candidates. */
  readonly chosen: number;
  /** Place of the cheapest other one; undefined where there was none. */
  readonly runnerUp: number | undefined;
  /** Changes that would each have flipped the choice, the least of its kind; none where a draw, a pin or a session decided. */
  readonly flips: readonly Flip[];
  /** What was foreseen of the chosen one. */
  readonly predicted: Outcome;
  /** What came of it. */
  readonly seen: Outcome;
}
