import type { CostUnit, RuleNeed } from "./rules/rule.ts";

/** Something that the rule lives on and that was not known of some candidates. */
export interface Missing {
  /** What. */
  readonly need: RuleNeed;
  /** Candidates of which it was not known. */
  readonly candidates: number;
}

/** What a choice was made of. */
type Reason =
  /** The request named it. */
  | { readonly rule: "pinned" }
  /** The session of the request was there last. */
  | { readonly rule: "affinity"; readonly held: "soft" | "hard"; readonly of: number }
  /** It was its turn, or was drawn: the `at`-th of `of` that could take it, counted from 1. */
  | { readonly rule: "round-robin" | "random"; readonly at: number; readonly of: number }
  /** It had `open` choices of this router's, the least of two that were drawn among `of`, or of all. */
  | { readonly rule: "power-of-two" | "least-request"; readonly open: number; readonly of: number }
  /** It had the least cost of `of`, or was drawn by costs. */
  | {
      readonly rule: "by cost";
      /** Of the table of rules. */
      readonly name: string;
      /** What it cost, in `unit`. */
      readonly cost: number;
      readonly unit: CostUnit;
      /** Tokens of the prompt that it need not compute. */
      readonly cachedTokens: number;
      readonly of: number;
    };

/** Why a worker was chosen, and what was not known then; nothing unless given. */
export type Decision = Reason & { readonly missing?: readonly Missing[] };

/** A decision in one short phrase, for headers, logs and people; `waitedMs`: what went by before anybody could take it. */
export function printDecision(decision: Decision, waitedMs?: number): string {
  const missing = decision.missing?.map(({ need, candidates }) => `, ${need} of ${candidates} unknown`) ?? [];
  const waited = waitedMs === undefined ? "" : `, waited ${Math.round(waitedMs)} ms`;
  return phrase(decision) + missing.join("") + waited;
}

function phrase(decision: Decision): string {
  switch (decision.rule) {
    case "pinned":
      return "direct, pinned";
    case "affinity":
      return `affinity, ${decision.held}, of ${decision.of}`;
    case "round-robin":
    case "random":
      return `${decision.rule}, ${decision.at} of ${decision.of}`;
    case "power-of-two":
    case "least-request":
      return `${decision.rule}, ${decision.open} open, of ${decision.of}`;
    case "by cost": {
      const { name, cost, unit, cachedTokens, of } = decision;
      return `${name}, ${printCost(cost)} ${unit}, ${cachedTokens} tokens cached, of ${of}`;
    }
  }
}

/** A cost with as many digits as tell anything: three before 100, none after the point from there on. */
export function printCost(cost: number): string {
  return Math.abs(cost) >= 100 ? cost.toFixed(0) : String(Number(cost.toPrecision(3)));
}
