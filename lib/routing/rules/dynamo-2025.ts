import { additiveRule } from "./additive.ts";
import { pickSoftmax } from "./pick.ts";
import type { RuleRow } from "./rule.ts";

/** The reference's cost of 2025. */
export const dynamo2025: RuleRow = {
  unit: "blocks",
  needs: ["prefixes"],
  formula:
    "weight · (blocks of this prompt that are not there + blocks that wait to be computed) + blocks in use with it",
  use: "To route as deployments of 2025 did; its weight has to be tuned to the traffic.",
  origin: "Dynamo's `kv` mode, 2025",
  constants: "`router.prefill-load-scale` is the weight (its overlap score weight), `router.temperature`",
  create: (constants) =>
    additiveRule({
      over: () => undefined,
      parts: ({ promptTokens, blockTokens }, of, at) => {
        const tokens = promptTokens - of.deviceTokens[at]! + of.prefillTokens[at]!;
        return { prefill: (constants.prefillLoadScale * tokens) / blockTokens, decode: of.potentialBlocks[at]! };
      },
      isDrawn: constants.temperature > 0,
      pick: (_, costs, chance, count) => pickSoftmax(costs, count, constants.temperature, chance),
    }),
};
