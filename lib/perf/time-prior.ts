import type { TimePrior as WireTimePrior } from "#gen/stator/discovery/v1/discovery_pb";
import type { PassShape, TimePrior } from "./time-model.ts";

/** Takes no time at all, in passes of any size. */
export const NO_TIME: TimePrior = {
  passMs: 0,
  prefillMs: 0,
  prefillTokenMs: 0,
  prefillSquareMs: 0,
  prefillContextMs: 0,
  decodeMs: 0,
  decodeSequenceMs: 0,
  decodeContextMs: 0,
  decodeFillMs: 0,
  decodeFillSquareMs: 0,
  decodeLeastMs: 0,
  passTokens: 2 ** 31,
};

/** A card that says more than so many milliseconds (eleven days) for one of its parts says nothing. */
const MOST_MS = 1e9;

/** What the prompt tokens of a pass add to it. */
export function prefillPartMs(prior: TimePrior, { prefillTokens: tokens, prefillContextTokens }: PassShape): number {
  if (tokens === 0) return 0;
  const { prefillMs, prefillTokenMs, prefillSquareMs, prefillContextMs } = prior;
  return prefillMs + (prefillTokenMs + prefillSquareMs * tokens) * tokens + prefillContextMs * prefillContextTokens;
}

/** What the sequences that decode in a pass add to it. */
export function decodePartMs(prior: TimePrior, shape: PassShape): number {
  const { decodeSequences, decodeContextTokens, poolTokens } = shape;
  if (decodeSequences === 0) return 0;
  const filled = poolTokens > 0 ? Math.min(1, (shape.prefillContextTokens + decodeContextTokens) / poolTokens) : 1;
  const { decodeMs, decodeSequenceMs, decodeContextMs, decodeFillMs, decodeFillSquareMs, decodeLeastMs } = prior;
  const parts = decodeMs + decodeSequenceMs * decodeSequences + decodeContextMs * decodeContextTokens;
  return Math.max(decodeLeastMs, parts + (decodeFillMs + decodeFillSquareMs * filled) * filled);
}

/** Milliseconds of one pass by a prior. */
export function passMsOf(prior: TimePrior, shape: PassShape): number {
  return prior.passMs + prefillPartMs(prior, shape) + decodePartMs(prior, shape);
}

/** Reads a card's prior. undefined where there is none, and for one with a part that cannot be: no prior is better. */
export function parseTimePrior(card: WireTimePrior | undefined): TimePrior | undefined {
  if (!card) return undefined;
  const { $typeName: _, $unknown: __, ...prior } = card;
  const { decodeFillSquareMs, passTokens, ...parts } = prior;
  if (!Object.values(parts).every((ms) => ms >= 0 && ms <= MOST_MS) || passTokens < 1) return undefined;
  // A sum that bends downwards is least at one of its ends: where the pool is empty, or where it is full.
  const isBend =
    Math.abs(decodeFillSquareMs) <= MOST_MS && prior.decodeMs + prior.decodeFillMs + decodeFillSquareMs >= 0;
  return isBend ? prior : undefined;
}
