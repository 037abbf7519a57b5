import { spreadOf } from "../cost/spread.ts";
import { additiveRule, type Parts } from "./additive.ts";
import type { RuleRow } from "./rule.ts";
import { isUneven } from "./smg.ts";

/** SMG's cache-aware policy over events. */
export const smgEvent: RuleRow = {
  unit: "score",
  needs: ["prefixes"],
  formula:
    "the longest match, then the fewest open requests, then the fewest blocks held; the fewest open requests alone where nobody has anything of the prompt, or requests lie too unevenly",
  use: "For much reuse and workers of one kind; a prompt prefix that all share gathers requests up to the bound of unevenness.",
  origin: "SGLang Model Gateway, `cache_aware` with events",
  constants: "uneven: `router.balance-abs-threshold` and `router.balance-rel-threshold`",
  create: (constants) =>
    additiveRule({
      over(_, of) {
        const longest = spreadOf(of.deviceTokens, of.count).most;
        return {
          longest: isUneven(of, constants) ? 0 : longest,
          loads: spreadOf(of.openRequests, of.count).most + 1,
          trees: spreadOf(of.heldBlocks, of.count).most + 1,
        };
      },
      parts({ blockTokens }, of, at, { longest, loads, trees }): Parts {
        const open = of.openRequests[at]!;
        if (longest === 0) return { "requests, this one too": open + 1 };
        // What comes second is less than one block of the first, and what comes third less than one request.
        const tree = of.heldBlocks[at]! / trees / loads;
        return {
          "blocks less than one more than the longest match": 1 + (longest - of.deviceTokens[at]!) / blockTokens,
          "open requests, as a share": open / loads,
          "blocks held, as a share": tree,
        };
      },
    }),
};
