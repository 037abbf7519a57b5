import type { Chance } from "#lib/base/chance";
import { weigh } from "../cost/preference.ts";
import type { Candidates } from "./candidates.ts";
import type { Rule, RuleAsk } from "./rule.ts";

/** Writes what each candidate costs, with what the request prefers. */
export function weighedCosts(rule: Rule, ask: RuleAsk, of: Candidates, costs: Float64Array): void {
  rule.score(ask, of, costs);
  weigh(costs, of);
}

/** Place of the chosen candidate; `costs` is written and holds at least as many as there are candidates. */
export function choose(
  rule: Rule,
  ask: RuleAsk,
  of: Candidates,
  by: { readonly costs: Float64Array; readonly chance: Chance },
): number {
  weighedCosts(rule, ask, of, by.costs);
  return rule.pick(ask, by.costs, by.chance, of.count);
}
