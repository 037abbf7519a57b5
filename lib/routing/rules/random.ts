import { pick } from "#lib/base/chance";
import { spreadOf } from "../cost/spread.ts";
import { additiveRule } from "./additive.ts";
import type { RuleRow } from "./rule.ts";

/** Any of them. */
export const random: RuleRow = {
  unit: "draws",
  needs: [],
  formula: "each as likely as the others; what the request prefers is likelier by as much as its cost is lower",
  use: "As the floor of a comparison.",
  origin: "common; the reference's mode `random`",
  constants: "none",
  create: () =>
    additiveRule({
      over: () => undefined,
      parts: () => ({ "one of all": 1 }),
      isDrawn: true,
      pick(_, costs, chance, count) {
        const { least, most } = spreadOf(costs, count);
        if (least === most) return pick(chance, count);
        let sum = 0;
        for (let at = 0; at < count; at++) sum += 1 / costs[at]!;
        let left = chance.next() * sum;
        for (let at = 0; at < count - 1; at++) {
          left -= 1 / costs[at]!;
          if (left < 0) return at;
        }
        return count - 1;
      },
    }),
};
