import type { StatorError } from "#lib/base/errors";
import type { Sequence } from "./sequence.ts";

/** One sequence's part of a step. */
export interface PlanEntry {
  /** Of the scheduler, which alone changes it. */
  readonly sequence: Sequence;
  /** The sequence's run at planning time; another one now means that it was preempted or ended since. */
  readonly run: number;
  /** Position of the first token. */
  readonly start: number;
  /** Tokens to compute, at least 1. */
  readonly count: number;
  /** Tokens to draw after the last one; 0 for a chunk that does not reach the end of what is known. */
  readonly draws: number;
  /** Place in the prompt of the first token whose log-probability is asked for; its row is the one before. */
  readonly scoreStart: number;
  /** Tokens of the prompt whose log-probabilities are asked for; 0 is usual. */
  readonly scores: number;
  /** The one token is what the sequence drew last, in a step that has not been applied yet. */
  readonly chained: boolean;
  /** The token was generated, or the prompt: what a step's record counts it as. */
  readonly isDecode: boolean;
}

/** One step, for whoever executes it. Parts apply in this order: closes, opens, ops, entries. */
export interface StepPlan {
  /** Counts from 1. */
  readonly step: number;
  /** Equal steps that it stands for, at least 1: of more than one, each draws one token of each entry. */
  readonly steps: number;
  /** Sequences that stopped running in a slot since the last plan: slot numbers. */
  readonly closes: readonly number[];
  /** Sequences that begin to run with this plan. */
  readonly opens: readonly Sequence[];
  /** What the KV space needs done first; empty for a paged space. */
  readonly ops: Int32Array;
  /** At most one for each sequence. */
  readonly entries: readonly PlanEntry[];
  /** The adapter of the whole step where a step has only one; undefined is the base model. */
  readonly adapter: string | undefined;
  /** Prompt tokens of its entries. */
  readonly prefillTokens: number;
  /** Sum of the context lengths that they attend to. */
  readonly prefillContextTokens: number;
  /** Entries that decode. */
  readonly decodeSequences: number;
  /** Sum of their context lengths. */
  readonly decodeContextTokens: number;
  /** Blocks of the pool that are in use with it; one that several sequences share counts once. */
  readonly usedBlocks: number;
}

/** How an entry ended. */
export const ENTRY_END = {
  /** The sequence goes on. */
  none: 0,
  /** The last drawn token ends the answer and is not part of it. */
  endToken: 1,
  /** The same, by a stop token of the request. */
  stopToken: 2,
  /** The answer is complete with the tokens that were drawn. */
  complete: 3,
  /** Nothing was computed because the sequence had ended before. */
  skipped: 4,
  /** The entry failed; `errors` says why. */
  failed: 5,
} as const;

/** Log-probabilities of the drawn tokens of one entry, or of tokens of its prompt. */
export interface OutcomeLogprobs {
  /** Index in the plan's entries. */
  readonly entry: number;
  /** One per token. */
  readonly chosen: Float32Array;
  /** The most likely ids at the place of each token, the same number for each, most likely first. */
  readonly topTokens: Uint32Array;
  /** Their log-probabilities. */
  readonly topValues: Float32Array;
}

/** What became of a step. Arrays are parallel to the plan's entries. */
export interface StepOutcome {
  /** Of the plan. */
  readonly step: number;
  /**
   * `ok`: computed. `aborted`: its ops ran, its entries did not. `no_space`: the same, because the engine found no room
   * for them. `discarded`: nothing of it ran.
   */
  readonly status: "ok" | "aborted" | "no_space" | "discarded";
  /** How many of the plan's steps ended, from the first on, where that is not 1. */
  readonly steps?: number;
  /** It ended some time ago, and what follows on it began then: virtual time alone knows such a thing. */
  readonly isPast?: boolean;
  /** Time from its start to its end; of several steps that of the last. */
  readonly durationUs: number;
  /** Tokens drawn by each entry. */
  readonly counts: Uint8Array;
  /** All drawn tokens in order of entries. */
  readonly tokens: Uint32Array;
  /** Codes of ENTRY_END. */
  readonly ends: Uint8Array;
  /** Of entries that asked for them, in order of entries. */
  readonly logprobs: readonly OutcomeLogprobs[];
  /** Of the tokens of prompts that entries asked for: `scores` of each such entry. */
  readonly promptLogprobs: readonly OutcomeLogprobs[];
  /** One for each entry whose end is `failed`. */
  readonly errors: readonly { readonly entry: number; readonly error: StatorError }[];
}

/** The entry of a sequence that has so many tokens computed next, and so many drawn. */
export function createEntry(sequence: Sequence, count: number, draws: number): PlanEntry {
  const start = sequence.planned;
  // The row of a token tells what follows it.
  const scoreStart = Math.max(start + 1, sequence.scored);
  const scoreEnd = Math.min(start + count + 1, sequence.request.promptTokens.length);
  return {
    sequence,
    run: sequence.run,
    start,
    count,
    draws,
    scoreStart,
    scores: sequence.isScoring ? Math.max(0, scoreEnd - scoreStart) : 0,
    chained: sequence.plannedDraws > 0,
    isDecode: sequence.planned >= sequence.prefillEnd,
  };
}

/** What a plan says of the sizes of its entries. */
export function countEntries(
  entries: readonly PlanEntry[],
): Pick<StepPlan, "prefillTokens" | "prefillContextTokens" | "decodeSequences" | "decodeContextTokens"> {
  const counts = { prefillTokens: 0, prefillContextTokens: 0, decodeSequences: 0, decodeContextTokens: 0 };
  for (const { isDecode, start, count } of entries) {
    if (isDecode) {
      counts.decodeSequences++;
      counts.decodeContextTokens += start + count;
    } else {
      counts.prefillTokens += count;
      counts.prefillContextTokens += start + count;
    }
  }
  return counts;
}
