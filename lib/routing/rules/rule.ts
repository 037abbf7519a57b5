import type { Chance } from "#lib/base/chance";
import type { TimeModel } from "#lib/perf/time-model";
import type { RankLoad } from "../load/rank-load.ts";

/** What a prompt has at a candidate, in blocks in a row from its first on; what a later tier adds follows on the one before. */
export interface CandidateOverlap {
  /** In the tier that the engine computes from. */
  readonly device: number;
  /** Further ones in memory of its host. */
  readonly host: number;
  /** Further ones on its disk. */
  readonly disk: number;
  /** Further ones outside of it. */
  readonly external: number;
  /** Tokens that need not be computed: of `device`, in the grain in which the worker reuses; less than the prompt. */
  readonly reusedTokens: number;
}

/** Somewhere a prompt could go: one rank of a worker that may take it. */
export interface Candidate {
  /** Its instance. */
  readonly worker: bigint;
  /** From 0. */
  readonly rank: number;
  /** What it has of the prompt; zeros where nothing is known. */
  readonly overlap: CandidateOverlap;
  /** It is known what it has. */
  readonly isKnown: boolean;
  /** What it has to do. */
  readonly load: RankLoad;
  /** How many blocks it would have active with this prompt: its own, and those of the prompt that are not among them. */
  readonly potentialBlocks: number;
  /** Blocks that the index knows of it, over all tiers. */
  readonly heldBlocks: number;
  /** How fast it is. */
  readonly times: TimeModel;
  /** Requests that it runs side by side; undefined where nobody knows. */
  readonly maxRunningRequests: number | undefined;
  /** Sum of the weights of the taints that the request prefers and it has. */
  readonly preference: number;
}

/** What a rule is asked. */
export interface RuleAsk {
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Tokens of a block; 0 where prefixes cannot be compared. */
  readonly blockTokens: number;
  /** The session that the request names. */
  readonly session: string | undefined;
  /** At least one, in a stable order. */
  readonly candidates: readonly Candidate[];
  /** Choices made so far: turns and ties go on from here. */
  readonly turn: number;
  /** On the router's clock. */
  readonly nowMs: number;
}

/** A part of what a candidate costs, for people. */
export interface Term {
  /** Such as wait, prefill, delay of others. */
  readonly name: string;
  /** In the rule's unit. */
  readonly value: number;
}

/** What a rule found. */
export interface RuleChoice {
  /** Place of the chosen one among the candidates. */
  readonly chosen: number;
  /** What was compared, one for each candidate, lower is better; Infinity for one that the rule leaves out. */
  readonly costs: Float64Array;
  /** What a candidate's cost is made of; worked out when somebody asks, from what the choice was made of. */
  terms(at: number): readonly Term[];
}

/** What a rule lives on beside the candidates: without it, it says so. */
export type RuleNeed = "prefixes" | "times" | "session";

/** A way to choose. Pure but for what its own earlier choices left, such as a turn or a session's place. */
export interface Rule {
  /** As in the option, such as ttft. */
  readonly name: string;
  /** What its costs are in. */
  readonly unit: "ms" | "blocks" | "score" | "requests" | "tokens" | "none";
  /** What it lives on. */
  readonly needs: readonly RuleNeed[];
  /** Chooses; draws from chance only where the rule says so. */
  choose(ask: RuleAsk, chance: Chance): RuleChoice;
}
