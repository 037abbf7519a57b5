import { spreadOf } from "../cost/spread.ts";
import { additiveRule, type Parts } from "./additive.ts";
import type { RuleRow } from "./rule.ts";
import { isUneven } from "./smg.ts";

/** SMG's cache-aware policy over its own tree. */
export const smgTree: RuleRow = {
  unit: "score",
  needs: ["prefixes"],
  formula:
    "the longest match where more than the threshold of the prompt matches, else the fewest blocks held; the fewest open requests where they lie too unevenly",
  use: "As smg-event, for prompts that share little: short matches spread over the emptiest caches.",
  origin: "SGLang Model Gateway, `cache_aware`",
  constants: "`router.cache-threshold`; uneven: `router.balance-abs-threshold` and `router.balance-rel-threshold`",
  create: (constants) =>
    additiveRule({
      over({ promptTokens }, of) {
        const longest = spreadOf(of.deviceTokens, of.count).most;
        const follows = longest > constants.cacheThreshold * promptTokens;
        return { longest, by: isUneven(of, constants) ? "load" : follows ? "match" : "tree" } as const;
      },
      parts({ blockTokens }, of, at, { longest, by }): Parts {
        if (by === "load") return { "requests, this one too": of.openRequests[at]! + 1 };
        if (by === "tree") return { "blocks held, and one": of.heldBlocks[at]! + 1 };
        return {
          "blocks less than one more than the longest match": 1 + (longest - of.deviceTokens[at]!) / blockTokens,
        };
      },
    }),
};
