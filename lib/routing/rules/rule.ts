import type { Chance } from "#lib/base/chance";
import type { Candidates } from "./candidates.ts";
import type { RuleConstants } from "./constants.ts";

/** What a rule is asked beside the candidates. */
export interface RuleAsk {
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Tokens of a block; 1 where prefixes cannot be compared. */
  readonly blockTokens: number;
  /** Hash of the session that the request names; undefined when it names none. */
  readonly session: bigint | undefined;
  /** Choices made so far: turns go on from here. */
  readonly turn: number;
  /** Tokens that an answer has, as answers were lately. */
  readonly answerTokens: number;
}

/** A part of what a candidate costs, for people. */
export interface Term {
  /** Such as wait, prefill, delay of others. */
  readonly name: string;
  /** In the rule's unit. */
  readonly value: number;
  /** It is part of the cost; else it is only shown. */
  readonly counts: boolean;
}

/** What a rule lives on beside loads: without it, it says so. `pin`: the request names the worker. */
export type RuleNeed = "prefixes" | "times" | "session" | "pin";

/** What the costs of a rule are in. */
export type CostUnit = "ms" | "blocks" | "score" | "requests" | "turns" | "draws";

/** A way to choose, with its constants. Pure: the same ask, candidates and chance give the same choice. */
export interface Rule {
  /** A draw decides, which costs only weigh; else the least cost does. */
  readonly isDrawn: boolean;
  /** Writes what each candidate costs: 0 or more, lower is better, Infinity for one that it leaves out. */
  score(ask: RuleAsk, of: Candidates, costs: Float64Array): void;
  /** What the cost of one is made of. */
  terms(ask: RuleAsk, of: Candidates, at: number): Term[];
  /** Place of the chosen one, once costs were weighed by what the request prefers. Draws only where the row says so. */
  pick(ask: RuleAsk, costs: Float64Array, chance: Chance, count: number): number;
}

/** A row of the table of rules. */
export interface RuleRow {
  /** What its costs are in. */
  readonly unit: CostUnit;
  /** What it lives on. */
  readonly needs: readonly RuleNeed[];
  /** What is chosen, as a formula or a sentence. */
  readonly formula: string;
  /** When to take it. */
  readonly use: string;
  /** Where the rule comes from. */
  readonly origin: string;
  /** Its numbers, for people, with the options that set them. */
  readonly constants: string;
  /** Makes it. */
  readonly create: (constants: RuleConstants) => Rule;
}
