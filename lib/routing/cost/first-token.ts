import { type DecodeSet, type PromptTimes, prefillMs, promptTimes } from "#lib/perf/prompt-times";
import type { Candidates } from "../rules/candidates.ts";

/** A prompt, or what is left of it. */
export interface PromptPart {
  /** Tokens to compute. */
  readonly tokens: number;
  /** Tokens before them. */
  readonly contextTokens: number;
}

/** What decodes at a candidate. */
export function decodeSet(of: Candidates, at: number): DecodeSet {
  return {
    decodeSequences: of.decodeSequences[at]!,
    decodeContextTokens: of.decodeContextTokens[at]!,
    poolTokens: of.poolTokens[at]!,
  };
}

/**
 * Milliseconds of a prompt behind those that are to be computed at a candidate already. Of these counts what no pass has
 * computed yet, less the time that the pass which runs has taken so far, which is at most a whole one: a worker that stands
 * still is not taken for one that is nearly done.
 */
export function behindOthers(of: Candidates, at: number, own: PromptPart): PromptTimes {
  const started = of.startedTokens[at]!;
  const tokens = of.prefillTokens[at]! - started;
  const contextTokens = of.rawPrefillTokens[at]! - tokens;
  const [times, beside] = [of.times[at]!, decodeSet(of, at)];
  const { waitMs, ownMs } = promptTimes(times, { queued: { tokens, contextTokens }, own, beside });
  if (waitMs === 0 || of.passingMs[at] === 0) return { waitMs, ownMs };
  const passTokens = Math.min(tokens, Math.max(1, times.passTokens - beside.decodeSequences));
  const passMs = times.passMs({ ...beside, prefillTokens: passTokens, prefillContextTokens: passTokens });
  return { waitMs: Math.max(0, waitMs - Math.min(passMs, of.passingMs[at]!)), ownMs };
}

/** Milliseconds of a prompt that has a candidate's passes to itself. */
export function alone(of: Candidates, at: number, own: PromptPart): number {
  return prefillMs(of.times[at]!, own, decodeSet(of, at));
}

/** Milliseconds of a pass at a candidate that computes no prompt. */
export function decodePassMs(of: Candidates, at: number): number {
  return of.times[at]!.passMs({ prefillTokens: 0, prefillContextTokens: 0, ...decodeSet(of, at) });
}

/**
 * Milliseconds until a place is free in which requests run side by side. Where all are taken, as many must end as stand
 * before a new one; together they end as often as there are places while one makes an answer, a token in each pass.
 */
export function slotMs(of: Candidates, at: number, answerTokens: number): number {
  const places = of.maxRunningRequests[at]!;
  const ahead = of.openRequests[at]! - places + 1;
  if (places === 0 || ahead <= 0) return 0;
  return (ahead / places) * answerTokens * decodePassMs(of, at);
}
