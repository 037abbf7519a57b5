import type { Chance } from "#lib/base/chance";
import { choose } from "../rules/choose.ts";
import type { Rule, Term } from "../rules/rule.ts";
import { type CapturedDecision, tableOf } from "./captured-decision.ts";
import { ToldChance } from "./drawn-chance.ts";

/** What a rule makes of a decision that was captured. Places are those of its candidates. */
export interface Redecided {
  /** Who was chosen then. */
  readonly before: number;
  /** Who is chosen now. */
  readonly now: number;
  /** What each candidate costs now, weighed by what the request prefers. */
  readonly costs: Float64Array;
  /** Why it is another one; undefined where it is the same. */
  readonly because: Difference | undefined;
}

/** The part of the costs that speaks most for the one that is chosen now. */
export interface Difference {
  /** Name of the term; `draw` where a draw or the order of equal ones decided. */
  readonly term: string;
  /** What it is for the one that was chosen then. */
  readonly before: number;
  /** What it is for the one that is chosen now. */
  readonly now: number;
}

/** A candidate of a decision. */
export interface Costed {
  /** What was compared: least is chosen. */
  readonly cost: number;
  /** What the cost is made of, before it was weighed. */
  readonly terms: readonly Term[];
}

/** What a decision is made with again. */
export interface RedecideWith {
  /** Decides; with the constants of the capture the same rule chooses the same. */
  readonly rule: Rule;
  /** Drawn from where the rule draws more than was drawn then. */
  readonly chance: Chance;
}

/** Makes a decision once more, by any rule. Where a session decided it decides again: no rule was asked. */
export function redecide(decision: CapturedDecision, { rule, chance }: RedecideWith): Redecided {
  const { ask, chosen: before, isHeld } = decision;
  const table = tableOf(decision);
  const costs = new Float64Array(table.count);
  const picked = choose(rule, ask, table, { costs, chance: new ToldChance(decision.draws, chance) });
  const now = isHeld ? before : picked;
  if (now === before) return { before, now, costs, because: undefined };
  const candidate = (at: number): Costed => ({ cost: costs[at]!, terms: rule.terms(ask, table, at) });
  return { before, now, costs, because: differenceBetween(candidate(before), candidate(now)) };
}

/** Why the second was chosen and not the first, by the same rule at one moment. */
export function differenceBetween(before: Costed, now: Costed): Difference {
  const because = now.cost < before.cost ? largestGain(before.terms, now.terms) : undefined;
  return because ?? { term: "draw", before: before.cost, now: now.cost };
}

/** The counted term by which the second is most below the first; undefined where it is in none. */
function largestGain(before: readonly Term[], now: readonly Term[]): Difference | undefined {
  let most: Difference | undefined;
  for (const { name, value, counts } of before) {
    const other = now.find((term) => term.name === name)?.value ?? 0;
    const gain = value - other;
    if (counts && gain > 0 && gain > (most ? most.before - most.now : 0)) {
      most = { term: name, before: value, now: other };
    }
  }
  return most;
}
