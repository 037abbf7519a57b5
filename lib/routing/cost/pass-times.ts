import type { TimeModel } from "#lib/perf/time-model";
import type { Candidates } from "../rules/candidates.ts";

/** What decodes at a worker beside a prompt. */
export interface DecodeShape {
  /** Sequences that decode. */
  readonly decodeSequences: number;
  /** Tokens of their contexts. */
  readonly decodeContextTokens: number;
  /** Tokens that the KV pool holds; 0 where nobody knows. */
  readonly poolTokens: number;
}

/** Context at which the price of a token of context is read off. */
const PROBE_CONTEXT = 1_024;

/**
 * Writes the times of one candidate. Beside given sequences that decode, a pass over x prompt tokens with context c takes
 * base + token · x + square · x² + context · c (see `TimePrior`), so a few readings of the model tell all of it: what is
 * kept of them explains a choice later, whatever the model has learned since.
 */
export function readPassTimes(model: TimeModel, beside: DecodeShape, into: Candidates, at: number): void {
  const most = Math.max(1, model.passTokens - beside.decodeSequences);
  const read = (prefillTokens: number, prefillContextTokens: number) =>
    model.passMs({ prefillTokens, prefillContextTokens, ...beside });
  const one = read(1, 0);
  const all = read(most, 0);
  const half = Math.ceil(most / 2);
  let square = 0;
  let token = 0;
  if (half > 1) {
    // Two slopes, from one token to half of a pass and from there to all of it: their change is the square's.
    const middle = read(half, 0);
    const low = (middle - one) / (half - 1);
    const high = (all - middle) / (most - half);
    square = (high - low) / (most - 1);
    token = low - square * (half + 1);
  } else if (most > 1) token = all - one;
  into.passTokens[at] = most;
  into.tokenMs[at] = token;
  into.squareMs[at] = square;
  into.baseMs[at] = one - token - square;
  into.contextMs[at] = (read(most, PROBE_CONTEXT) - all) / PROBE_CONTEXT;
  into.decodeMs[at] = read(0, 0);
}

/** Milliseconds until the passes are done that are full of what waits at a candidate, before a new prompt gets a pass. */
export function waitMs(of: Candidates, at: number): number {
  const most = of.passTokens[at]!;
  const passes = Math.floor(of.prefillTokens[at]! / most);
  return passes * passMs(of, at, most, most);
}

/**
 * Milliseconds of the passes that compute a prompt's `tokens` behind `cached` ones, whole passes with what decodes beside
 * them. The first is shared with what is left of those that wait.
 */
export function prefillMs(of: Candidates, at: number, tokens: number, cached: number): number {
  const most = of.passTokens[at]!;
  const shared = of.prefillTokens[at]! % most;
  const all = shared + tokens;
  const full = Math.floor(all / most);
  const rest = all - full * most;
  const passes = full + (rest > 0 ? 1 : 0);
  // Each pass attends to what was computed by its end: most further tokens each time, and all of them after the last.
  const context = passes * cached + ((passes - 1) * passes * most) / 2 - (passes - 1) * shared + tokens;
  const last = rest > 0 ? passMs(of, at, rest, 0) : 0;
  return full * passMs(of, at, most, 0) + last + of.contextMs[at]! * context;
}

/** Milliseconds of one pass over so many prompt tokens that attend to so much context. */
export function passMs(of: Candidates, at: number, tokens: number, context: number): number {
  return of.baseMs[at]! + of.tokenMs[at]! * tokens + of.squareMs[at]! * tokens * tokens + of.contextMs[at]! * context;
}

/**
 * Milliseconds until a place is free in which requests run side by side. Where all are taken, as many must end as stand
 * before a new one; together they end as often as there are places while one makes an answer, a token in each pass.
 */
export function slotMs(of: Candidates, at: number, answerTokens: number): number {
  const places = of.maxRunningRequests[at]!;
  const ahead = of.openRequests[at]! - places + 1;
  if (places === 0 || ahead <= 0) return 0;
  return (ahead / places) * answerTokens * of.decodeMs[at]!;
}
