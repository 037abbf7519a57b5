import type { Term } from "../rules/rule.ts";

/** What a bypass rule knows of the two ways of one prompt. */
export interface BypassAsk {
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Of those, tokens that the worker for the answer has already. */
  readonly heldTokens: number;
  /** Prompt tokens that are to be computed at the worker for the prompt. */
  readonly prefillTokens: number;
  /** Tokens that a pass computes there; undefined where nobody knows. */
  readonly passTokens: number | undefined;
  /** Blocks in use at the worker for the answer, with those of this prompt. */
  readonly activeBlocks: number;
  /** Blocks of its pool; 0 where nobody knows. */
  readonly totalBlocks: number;
  /** What each way costs, in milliseconds. */
  readonly prices: { readonly whole: number; readonly split: number };
}

/** Numbers of the bypass rules. */
export interface BypassConstants {
  /** Of isl-bounding: a prompt with as many tokens to compute is never short. */
  readonly shortTokens: number;
  /** Of isl-bounding: nor is one of which this share is to be computed. */
  readonly shortShare: number;
  /** Of prefill-load: a worker with more than so many passes of prompts is busy. */
  readonly busyPasses: number;
  /** Nothing is bypassed where more than this share of the blocks for answers is in use. */
  readonly busyShare: number;
}

/** A bypass rule. */
interface BypassRow {
  /** When a prompt is computed where its answer is made, one sentence. */
  readonly doc: string;
  /** Whether it says so. */
  readonly says: (ask: BypassAsk, constants: BypassConstants) => boolean;
}

/** The rules by name, by which a prompt is computed where its answer is made although workers for prompts are there. */
export const BYPASSES = {
  priced: {
    doc: "Where that costs less, both ways priced in milliseconds",
    says: ({ prices }) => prices.whole < prices.split,
  },
  none: { doc: "Never", says: () => false },
  "isl-bounding": {
    doc: "Where few of its tokens, and a small share of them, are to be computed",
    says: isShort,
  },
  "prefill-load": {
    doc: "Where the chosen worker for prompts has much to do",
    says: isBusy,
  },
  "isl-or-load": {
    doc: "Where either of the two says so",
    says: (ask, constants) => isShort(ask, constants) || isBusy(ask, constants),
  },
} as const satisfies Readonly<Record<string, BypassRow>>;

/** Name of a bypass rule. */
export type BypassName = keyof typeof BYPASSES;

/** The names, in the order of the table. */
export const BYPASS_NAMES = Object.keys(BYPASSES) as readonly BypassName[];

/** What a bypass rule said of one prompt. */
export interface BypassVerdict {
  /** Which rule. */
  readonly rule: BypassName;
  /** The prompt is computed where its answer is made. */
  readonly isBypassed: boolean;
  /** The rule said so, and the blocks for answers are nearly all in use. */
  readonly isVetoed: boolean;
  /** What each way was priced at: names begin with the way. Empty where nothing was priced. */
  readonly terms: readonly Term[];
}

/** Judges one prompt. `none` and `priced` know no veto: the first never bypasses, the price of the second has it in. */
export function judgeBypass(
  rule: BypassName,
  ask: BypassAsk,
  constants: BypassConstants,
): Pick<BypassVerdict, "isBypassed" | "isVetoed"> {
  if (!BYPASSES[rule].says(ask, constants)) return { isBypassed: false, isVetoed: false };
  const isVetoed = rule !== "priced" && isCrowded(ask, constants);
  return { isBypassed: !isVetoed, isVetoed };
}

function isShort({ promptTokens, heldTokens }: BypassAsk, { shortTokens, shortShare }: BypassConstants): boolean {
  const tokens = Math.max(0, promptTokens - heldTokens);
  return tokens < shortTokens && tokens / Math.max(promptTokens, 1) < shortShare;
}

/** Nobody who is not known to be busy is. */
function isBusy({ prefillTokens, passTokens }: BypassAsk, { busyPasses }: BypassConstants): boolean {
  return passTokens !== undefined && prefillTokens > busyPasses * passTokens;
}

function isCrowded({ activeBlocks, totalBlocks }: BypassAsk, { busyShare }: BypassConstants): boolean {
  return totalBlocks > 0 && activeBlocks > busyShare * totalBlocks;
}
