import type { Candidates } from "./candidates.ts";
import { pickLeast } from "./pick.ts";
import type { Rule, RuleAsk } from "./rule.ts";

/** Names of terms and how much each is. */
export type Parts = Readonly<Record<string, number>>;

/**
 * A rule whose cost is the sum of its parts, and that takes the least. `over` works out once for each choice what depends
 * on all candidates.
 */
export function additiveRule<Context>(about: {
  readonly over: (ask: RuleAsk, of: Candidates) => Context;
  readonly parts: (ask: RuleAsk, of: Candidates, at: number, over: Context) => Parts;
  readonly isDrawn?: boolean;
  readonly pick?: Rule["pick"];
}): Rule {
  const { over, parts, isDrawn = false, pick = (_, costs, chance, count) => pickLeast(costs, count, chance) } = about;
  return {
    isDrawn,
    score(ask, of, costs) {
      const context = over(ask, of);
      for (let at = 0; at < of.count; at++) {
        let sum = 0;
        const each = parts(ask, of, at, context);
        for (const name in each) sum += each[name]!;
        costs[at] = sum;
      }
    },
    terms: (ask, of, at) =>
      Object.entries(parts(ask, of, at, over(ask, of))).map(([name, value]) => ({ name, value, counts: true })),
    pick,
  };
}
