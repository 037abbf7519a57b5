import type { Choice } from "./choice.ts";

/** What decides how many sequences the library knows. */
export interface SlotFacts {
  /** Requests that are to run side by side. */
  readonly maxRunning: number;
  /** Tokens that the model knows. */
  readonly vocabularySize: number;
}

/** The library's own bound, less one that is kept free for exports and imports. */
const MOST_SLOTS = 255;
/** Memory for a row of logits per slot: the library keeps one for each, whether it runs or holds a prefix. */
const LOGIT_BYTES = 32 * 2 ** 20;

/**
 * Slots of the library's cache: those that run, and as many again at least for holders of cached prefixes. A slot costs
 * four bytes per token that the model knows: 255 of them would be 255 MB for a vocabulary of 262,144.
 */
export function chooseSlots({ maxRunning, vocabularySize }: SlotFacts): Choice {
  const affordable = Math.floor(LOGIT_BYTES / (4 * Math.max(1, vocabularySize)));
  const value = Math.min(MOST_SLOTS, Math.max(2 * maxRunning, affordable));
  return { value, why: value === affordable ? "what its vocabulary leaves room for" : "the usual" };
}
