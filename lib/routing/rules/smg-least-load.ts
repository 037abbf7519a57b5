import { additiveRule } from "./additive.ts";
import type { RuleRow } from "./rule.ts";

/** Tokens in a second of a worker that was not seen yet. */
const FALLBACK_TOKENS_PER_SECOND = 2_000;

/** Milliseconds that a pool counts for which is half full. */
const PRESSURE_MS = 150;

/** A full pool counts as one that is nearly so. */
const MOST_FILL = 0.999;

/** SMG's load in seconds. */
export const smgLeastLoad: RuleRow = {
  unit: "ms",
  needs: [],
  formula:
    "tokens that wait or are computed ÷ tokens per second + 150 ms · k ÷ (1 − k), k the share of the pool in use",
  use: "For prompts that share nothing, on workers of several speeds.",
  origin: "SGLang Model Gateway, `least_load`",
  constants:
    "2,000 tokens per second where none were seen; 0.15 s. Its mean prompt of 1,024 tokens stands in for what is known here",
  create: () =>
    additiveRule({
      over: () => undefined,
      parts(_, of, at) {
        const speed = of.tokensPerSecond[at]! || FALLBACK_TOKENS_PER_SECOND;
        const fill = of.totalBlocks[at]! > 0 ? Math.min(of.usedBlocks[at]! / of.totalBlocks[at]!, MOST_FILL) : 0;
        return {
          "tokens to compute": (1_000 * of.prefillTokens[at]!) / speed,
          // Where nobody has anything to do, what the request prefers still has something to weigh.
          "its own": 1,
          "pressure on the pool": (PRESSURE_MS * fill) / (1 - fill),
        };
      },
    }),
};
