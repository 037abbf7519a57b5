import type { Chosen } from "../chooser.ts";
import type { RuleConstants } from "../rules/constants.ts";
import type { Term } from "../rules/rule.ts";
import { othersMs, ttftParts } from "../rules/ttft.ts";

/** What both ways of one prompt cost, in milliseconds. */
export interface WayPrices {
  /** Its prompt is computed where its answer is made. */
  readonly whole: number;
  /** It is computed apart. */
  readonly split: number;
  /** What the two are made of: names begin with the way. */
  readonly terms: readonly Term[];
}

/**
 * What a millisecond counts by which one answer's next token comes late, beside one that a first token waits. A prompt that
 * is computed between their tokens delays all answers there at once, and each of them once.
 */
export const LATE_TOKEN_SHARE = 0.1;

/** Prices both ways of a prompt. `pullMs`: until its blocks are where the answer is made. The tables are borrowed. */
export function priceWays(about: {
  readonly whole: Chosen;
  readonly prefill: Chosen;
  readonly pullMs: number;
  readonly constants: RuleConstants;
}): WayPrices {
  const { whole, prefill, pullMs, constants } = about;
  const here = wayTerms("whole", whole, constants);
  const { candidates: of, at } = whole;
  const { prefillMs } = ttftParts(whole.kept.ask, of, at, constants);
  const late = {
    name: "whole: late tokens",
    value: LATE_TOKEN_SHARE * of.decodeSequences[at]! * prefillMs,
    counts: true,
  };
  const apart = wayTerms("split", prefill, constants);
  const transfer = { name: "split: transfer", value: pullMs, counts: true };
  const terms = [...here, late, ...apart, transfer];
  return { whole: sum([...here, late]), split: sum([...apart, transfer]), terms };
}

function wayTerms(way: string, { kept, candidates: of, at }: Chosen, constants: RuleConstants): Term[] {
  const { waitMs, slotMs, prefillMs, onboardingMs, putOffMs } = ttftParts(kept.ask, of, at, constants);
  const parts = {
    wait: waitMs + slotMs,
    prefill: prefillMs + onboardingMs,
    "delay of others": othersMs(of, prefillMs) + putOffMs,
  };
  return Object.entries(parts).map(([name, value]) => ({ name: `${way}: ${name}`, value, counts: true }));
}

function sum(terms: readonly Term[]): number {
  return terms.reduce((total, { value }) => total + value, 0);
}
