import type { Candidates } from "../rules/candidates.ts";
import type { RuleConstants } from "../rules/constants.ts";
import type { RuleAsk } from "../rules/rule.ts";

/** What the reference's cost of a candidate is made of, in blocks. */
export interface CreditParts {
  /** Of the prompt and of the prompts that wait there, whole. */
  readonly rawPrefillBlocks: number;
  /** What is taken off for what it has of the prompt. */
  readonly creditBlocks: number;
  /** What remains, never below 0. */
  readonly prefillBlocks: number;
}

/**
 * The reference's credit for what a candidate has: device blocks count in full, or less the more it has to compute beyond
 * the least busy; lower tiers count by their weights. `least`: as `leastPrefillTokens`.
 */
export function creditParts(
  { promptTokens, blockTokens }: RuleAsk,
  of: Candidates,
  at: number,
  by: { readonly constants: RuleConstants; readonly least: number },
): CreditParts {
  const { constants, least } = by;
  const rawPrefillBlocks = (of.rawPrefillTokens[at]! + promptTokens) / blockTokens;
  const above = (of.rawPrefillTokens[at]! - least) / Math.max(1, promptTokens);
  const decay = 1 / (1 + constants.overlapCreditDecay * above);
  const creditTokens =
    constants.overlapCredit * decay * of.deviceTokens[at]! +
    constants.hostWeight * of.hostTokens[at]! +
    constants.diskWeight * of.diskTokens[at]! +
    constants.externalWeight * of.externalTokens[at]!;
  const creditBlocks = creditTokens / blockTokens;
  return { rawPrefillBlocks, creditBlocks, prefillBlocks: Math.max(rawPrefillBlocks - creditBlocks, 0) };
}

/** Prompt tokens at the candidate that has the fewest to compute. */
export function leastPrefillTokens({ count, rawPrefillTokens }: Candidates): number {
  let least = rawPrefillTokens[0]!;
  for (let at = 1; at < count; at++) least = Math.min(least, rawPrefillTokens[at]!);
  return least;
}
