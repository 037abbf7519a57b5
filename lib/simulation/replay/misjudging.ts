import type { Chance } from "#lib/base/chance";
import type { Rule } from "#lib/routing/rules/rule";
import { drawNormal } from "./trace/draw.ts";

/** How wrong a router of a replay is, to see what a rule is worth that does not know everything. */
export interface RoutingErrors {
  /**
   * What the rule predicts of each candidate is off by a factor of e^x, where x is normal around 0 with this standard
   * deviation, drawn for each decision and candidate; 0 for not at all.
   */
  readonly prediction: number;
  /** What each worker says of its speed is off by a factor of e^this or e^-this, drawn once for each; 0 for not at all. */
  readonly prior: number;
}

/** A rule whose costs are off. It borrows the chance and draws twice for each candidate. */
export function misjudging(rule: Rule, deviation: number, chance: Chance): Rule {
  return {
    isDrawn: rule.isDrawn,
    score(ask, of, costs) {
      rule.score(ask, of, costs);
      for (let at = 0; at < of.count; at++) costs[at]! *= Math.exp(deviation * drawNormal(chance));
    },
    terms: (ask, of, at) => rule.terms(ask, of, at),
    pick: (ask, costs, drawn, count) => rule.pick(ask, costs, drawn, count),
  };
}
