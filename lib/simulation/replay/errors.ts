import type { Chance } from "#lib/base/chance";
import type { TimePrior } from "#lib/perf/time-model";
import type { Rule } from "#lib/routing/rules/rule";

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
      for (let at = 0; at < of.count; at++) costs[at]! *= Math.exp(deviation * normal(chance));
    },
    terms: (ask, of, at) => rule.terms(ask, of, at),
    pick: (ask, costs, drawn, count) => rule.pick(ask, costs, drawn, count),
  };
}

/** A prior that is off by this factor. */
export function scaled({ passTokens, ...parts }: TimePrior, factor: number): TimePrior {
  const off = Object.entries(parts).map(([name, ms]) => [name, ms * factor]);
  return { ...(Object.fromEntries(off) as Omit<TimePrior, "passTokens">), passTokens };
}

/** Standard normal (Box and Muller 1958). */
function normal(chance: Chance): number {
  const radius = Math.sqrt(-2 * Math.log(1 - chance.next()));
  return radius * Math.cos(2 * Math.PI * chance.next());
}
