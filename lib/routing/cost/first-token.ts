import {
  type DecodeSet,
  type PromptTimes,
  prefillMs,
  prefillPasses,
  promptTimes,
  tailTokens,
} from "#lib/perf/prompt-times";
import type { Candidates } from "../rules/candidates.ts";

/** A prompt, or what is left of it. */
export interface PromptPart {
  /** Tokens to compute. */
  readonly tokens: number;
  /** Tokens before them. */
  readonly contextTokens: number;
  /** As in Candidates, of the one who computes it. */
  readonly chunkTokens: number;
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
 * Milliseconds of a prompt behind those that are to be computed at a candidate already: what is left of the pass that runs,
 * which it cannot join, and then passes for what no pass has begun, the last of them shared. A pass that takes longer than
 * foretold is taken to be nearly done.
 */
export function behindOthers(of: Candidates, at: number, own: PromptPart): PromptTimes {
  const [times, beside] = [of.times[at]!, decodeSet(of, at)];
  const passing = passingTokens(of, at);
  const tokens = of.prefillTokens[at]! - of.startedTokens[at]! - passing;
  const contextTokens = Math.max(0, of.rawPrefillTokens[at]! - of.prefillTokens[at]!);
  const { waitMs, ownMs } = promptTimes(times, { queued: { tokens, contextTokens }, own, beside });
  return { waitMs: waitMs + leftMs(of, at, passing), ownMs };
}

/** Tokens of prompts that the pass which runs computes. */
function passingTokens(of: Candidates, at: number): number {
  const left = of.prefillTokens[at]! - of.startedTokens[at]!;
  return Math.max(0, Math.min(of.passingTokens[at]!, left, roomOf(of, at)));
}

/** What is left of the pass that runs; nothing where none does, or where a prompt can join it. */
function leftMs(of: Candidates, at: number, passing: number): number {
  if (of.passingMs[at] === 0 || (passing === 0 && of.decodeSequences[at] === 0)) return 0;
  const shape = { ...decodeSet(of, at), prefillTokens: passing, prefillContextTokens: passing };
  return Math.max(0, of.times[at]!.passMs(shape) - of.passingMs[at]!);
}

/** Tokens of prompts that fit into a pass. */
function roomOf(of: Candidates, at: number): number {
  return Math.max(1, of.times[at]!.passTokens - of.decodeSequences[at]!);
}

/** Of the pass that a prompt would begin in, tokens that are of prompts before it; 0 where it has a pass to itself. */
export function sharedPassTokens(of: Candidates, at: number): number {
  const tokens = of.prefillTokens[at]! - of.startedTokens[at]! - passingTokens(of, at);
  return Math.max(0, tokens) % roomOf(of, at);
}

/** Milliseconds by which a prompt puts off those that end in the pass that it begins in, all of them together. */
export function putOffMs(of: Candidates, at: number, own: PromptPart): number {
  const prompts = of.sharingPrompts[at]!;
  if (prompts === 0) return 0;
  const shared = sharedPassTokens(of, at);
  const [times, beside] = [of.times[at]!, decodeSet(of, at)];
  const pass = (tokens: number) =>
    times.passMs({ ...beside, prefillTokens: tokens, prefillContextTokens: tokens + own.contextTokens });
  const begun = Math.min(own.tokens - tailTokens(own), roomOf(of, at) - shared);
  return prompts * Math.max(0, pass(shared + begun) - pass(shared));
}

/** Milliseconds of a prompt that has a candidate's passes to itself. */
export function alone(of: Candidates, at: number, own: PromptPart): number {
  return prefillMs(of.times[at]!, own, decodeSet(of, at));
}

/** How many passes that are. */
export function passesOf(of: Candidates, at: number, own: PromptPart): number {
  return prefillPasses(of.times[at]!, own, decodeSet(of, at));
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
