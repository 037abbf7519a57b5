import { creditParts, leastPrefillTokens } from "../cost/credits.ts";
import { additiveRule } from "./additive.ts";
import { pickSoftmax } from "./pick.ts";
import type { RuleRow } from "./rule.ts";

const CONSTANTS =
  "`router.prefill-load-scale`, `router.kv-overlap-score-credit`, `router.kv-overlap-score-credit-decay`, `router.host-cache-hit-weight`, `router.disk-cache-hit-weight`, `router.shared-cache-multiplier`, `router.decode-active-request-weight`, `router.temperature`";

/** The reference's newest cost. */
export const dynamo: RuleRow = {
  unit: "blocks",
  needs: ["prefixes"],
  formula:
    "scale · max(0, blocks of this and waiting prompts − credit) + blocks in use with it + weight · open requests; credit = credit per device block, less with more to compute (decay), and a weight for each lower tier",
  use: "To route as the reference does, with its options.",
  origin: "Dynamo's `kv` mode, as of 2026",
  constants: CONSTANTS,
  create: (constants) =>
    additiveRule({
      over: (_, of) => ({ constants, least: leastPrefillTokens(of) }),
      parts: (ask, of, at, over) => ({
        prefill: constants.prefillLoadScale * creditParts(ask, of, at, over).prefillBlocks,
        decode: of.potentialBlocks[at]!,
        "open requests": constants.activeRequestWeight * of.openRequests[at]!,
      }),
      isDrawn: constants.temperature > 0,
      pick: (_, costs, chance, count) => pickSoftmax(costs, count, constants.temperature, chance),
    }),
};
