import { spreadOf } from "../cost/spread.ts";
import { additiveRule } from "./additive.ts";
import type { Candidates } from "./candidates.ts";
import type { RuleRow } from "./rule.ts";

/** What each score from 0 to 1 counts for. */
const WEIGHTS = { queue: 2, pool: 2, prefix: 3, noHit: 2 } as const;

/** Prompts count as being no longer than this where matches are compared. */
const MOST_TOKENS = 100_000;

/** What the score for prompts that nobody has anything of is for all others. */
const NEUTRAL = 0.5;

/** llm-d's default profile. */
export const llmD: RuleRow = {
  unit: "score",
  needs: ["prefixes"],
  formula:
    "points off for: 2 · queue (waiting requests, from the fewest to the most) + 2 · share of the pool in use + 3 · share of the prompt that is not there + 2 · how lately it got a prompt that nobody had anything of, for such prompts",
  use: "To route as llm-d does by default.",
  origin: "llm-d, default profile with the picker of the most points",
  constants: "weights 2, 2, 3, 2; prompts of at most 100,000 tokens",
  create: () =>
    additiveRule({
      over: (_, of) => ({
        waiting: spreadOf(of.waitingRequests, of.count),
        isCold: spreadOf(of.deviceTokens, of.count).most === 0,
      }),
      parts({ promptTokens }, of, at, { waiting, isCold }) {
        const range = waiting.most - waiting.least;
        const total = of.totalBlocks[at]!;
        const compared = Math.max(1, Math.min(promptTokens, MOST_TOKENS));
        return {
          queue: range > 0 ? (WEIGHTS.queue * (of.waitingRequests[at]! - waiting.least)) / range : 0,
          "pool in use": total > 0 ? WEIGHTS.pool * Math.min(1, of.usedBlocks[at]! / total) : 0,
          "prompt not there": WEIGHTS.prefix * (1 - Math.min(of.deviceTokens[at]!, compared) / compared),
          "new prompts lately": WEIGHTS.noHit * (isCold ? recency(of, at) : NEUTRAL),
        };
      },
    }),
};

/** Place of a candidate among all by when it last got a prompt that nobody knew, longest ago first: 0 to 1. */
function recency({ coldTurn, count }: Candidates, at: number): number {
  if (count === 1) return 0;
  let before = 0;
  for (let other = 0; other < count; other++) {
    const isBefore = coldTurn[other]! < coldTurn[at]! || (coldTurn[other]! === coldTurn[at]! && other < at);
    if (isBefore) before++;
  }
  return before / (count - 1);
}
