import { spreadOf } from "../cost/spread.ts";
import { additiveRule, type Parts } from "./additive.ts";
import type { RuleRow } from "./rule.ts";

/** More requests than this between the busiest and the idlest are too uneven. */
const MOST_UNEVEN = 8;

/** A match counts where requests are at most the mean and so many standard deviations. */
const DEVIATIONS = 1;

/** AIBrix's prefix-cache policy. */
export const aibrixPrefix: RuleRow = {
  unit: "score",
  needs: ["prefixes"],
  formula:
    "the longest match among those with at most the mean of requests + 1 standard deviation, then the fewest requests; the fewest requests where none of those matches, or where they differ by more than 8",
  use: "To route as AIBrix does.",
  origin: "AIBrix, `prefix-cache`",
  constants: "8 requests, 1 standard deviation",
  create: () =>
    additiveRule({
      over(_, of) {
        const { least, most, mean, deviation } = spreadOf(of.openRequests, of.count);
        const bound = mean + DEVIATIONS * deviation;
        let longest = 0;
        for (let at = 0; at < of.count; at++) {
          if (of.openRequests[at]! <= bound) longest = Math.max(longest, of.deviceTokens[at]!);
        }
        return { bound, longest: most - least > MOST_UNEVEN ? 0 : longest, loads: most + 1 };
      },
      parts({ blockTokens }, of, at, { bound, longest, loads }): Parts {
        const open = of.openRequests[at]!;
        if (longest === 0) return { "requests, this one too": open + 1 };
        if (open > bound || of.deviceTokens[at] === 0) return { "left out": Number.POSITIVE_INFINITY };
        return {
          "blocks less than one more than the longest match": 1 + (longest - of.deviceTokens[at]!) / blockTokens,
          "requests, as a share": open / loads,
        };
      },
    }),
};
