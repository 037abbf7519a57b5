import { creditParts, leastPrefillTokens } from "../cost/credits.ts";
import { pickSoftmax } from "./pick.ts";
import type { Rule, RuleRow } from "./rule.ts";

/** The reference's other policy: a product in place of a sum. */
export const lmetric: RuleRow = {
  unit: "score",
  needs: ["prefixes"],
  formula: "max(0, blocks of this and waiting prompts − credit) · (blocks in use with it + 1)",
  use: "Where the weight of a sum would have to be tuned, and no times are known.",
  origin: "Dynamo's selection policy `lmetric`",
  constants: "those of the credit, as in `dynamo`; `router.temperature`",
  create(constants): Rule {
    return {
      isDrawn: constants.temperature > 0,
      score(ask, of, costs) {
        const by = { constants, least: leastPrefillTokens(of) };
        for (let at = 0; at < of.count; at++) {
          costs[at] = creditParts(ask, of, at, by).prefillBlocks * (of.potentialBlocks[at]! + 1);
        }
      },
      terms(ask, of, at) {
        const { prefillBlocks } = creditParts(ask, of, at, { constants, least: leastPrefillTokens(of) });
        const factors = { "prefill blocks": prefillBlocks, "times blocks in use + 1": of.potentialBlocks[at]! + 1 };
        const shown = Object.entries(factors).map(([name, value]) => ({ name, value, counts: false }));
        return [...shown, { name: "product", value: prefillBlocks * (of.potentialBlocks[at]! + 1), counts: true }];
      },
      pick: (_, costs, chance, count) => pickSoftmax(costs, count, constants.temperature, chance),
    };
  },
};
