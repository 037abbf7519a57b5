import type { Chosen } from "../chooser.ts";
import { alone, decodePassMs } from "../cost/first-token.ts";
import type { Candidates } from "../rules/candidates.ts";
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

/** Both ways of a prompt, as they were chosen; the tables are borrowed. */
export interface Ways {
  /** Where all of it would go. */
  readonly whole: Chosen;
  /** Where its prompt would go. */
  readonly prefill: Chosen;
  /** Milliseconds until its blocks are where the answer is made. */
  readonly pullMs: number;
  /** Tokens of the prompt behind its last complete block: they are computed a second time. */
  readonly tailTokens: number;
  /** The numbers of the rules. */
  readonly constants: RuleConstants;
}

/** Prices both ways of a prompt. */
export function priceWays(ways: Ways): WayPrices {
  const { whole, prefill, pullMs, constants } = ways;
  const { candidates: of, at, kept } = whole;
  const late = (ms: number) => LATE_TOKEN_SHARE * of.decodeSequences[at]! * ms;
  const { prefillMs } = ttftParts(kept.ask, of, at, constants);
  const tailMs = tailMsOf(ways);
  // Prompts that come later may go either way: both ways delay as many of them.
  const tables = [of, prefill.candidates];
  const here = [...wayTerms("whole", whole, { tables, constants }), counted("whole: late tokens", late(prefillMs))];
  const apart = [
    ...wayTerms("split", prefill, { tables, constants }),
    counted("split: transfer", pullMs),
    counted("split: tail", tailMs + othersMs(tables, tailMs) + late(tailMs)),
  ];
  return { whole: sum(here), split: sum(apart), terms: [...here, ...apart] };
}

/** What follows the complete blocks joins a pass that decodes. */
function tailMsOf({ whole: { candidates: of, at, kept }, tailTokens }: Ways): number {
  if (tailTokens === 0) return 0;
  const own = { tokens: tailTokens, contextTokens: kept.ask.promptTokens - tailTokens, chunkTokens: 0 };
  const besideMs = of.decodeSequences[at]! > 0 ? decodePassMs(of, at) : 0;
  return Math.max(0, alone(of, at, own) - besideMs);
}

function wayTerms(
  way: string,
  { kept, candidates: of, at }: Chosen,
  { tables, constants }: { readonly tables: readonly Candidates[]; readonly constants: RuleConstants },
): Term[] {
  const { waitMs, slotMs, prefillMs, onboardingMs, putOffMs } = ttftParts(kept.ask, of, at, constants);
  const parts = {
    wait: waitMs + slotMs,
    prefill: prefillMs + onboardingMs,
    "delay of others": othersMs(tables, prefillMs) + putOffMs,
  };
  return Object.entries(parts).map(([name, value]) => counted(`${way}: ${name}`, value));
}

function counted(name: string, value: number): Term {
  return { name, value, counts: true };
}

function sum(terms: readonly Term[]): number {
  return terms.reduce((total, { value }) => total + value, 0);
}
