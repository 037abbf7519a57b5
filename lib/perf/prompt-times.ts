import type { PassRecord, PassShape, TimeModel } from "./time-model.ts";

/** Sequences that decode on while prompts are computed. */
export type DecodeSet = Pick<PassShape, "decodeSequences" | "decodeContextTokens" | "poolTokens">;

/** Prompt tokens to compute. */
export interface PromptWork {
  /** Those that were not found in a cache. */
  readonly tokens: number;
  /** Tokens before them that are there already. */
  readonly contextTokens: number;
}

/** Until a prompt has its first token. The two add up to what goes by. */
export interface PromptTimes {
  /** Because of prompts that wait before it. */
  readonly waitMs: number;
  /** What it takes by itself. */
  readonly ownMs: number;
}

/**
 * Milliseconds to compute one prompt beside sequences that decode: whole passes of what the model computes at once, each
 * with the decoding of that pass. The full passes are taken at their mean context, which is exact where time is linear in
 * it. Takes constant time.
 */
export function prefillMs(times: TimeModel, { tokens, contextTokens }: PromptWork, beside: DecodeSet): number {
  const room = roomOf(times, beside);
  const full = Math.floor(tokens / room);
  const rest = tokens - full * room;
  const pass = (prefillTokens: number, prefillContextTokens: number) =>
    times.passMs({ ...beside, prefillTokens, prefillContextTokens });
  const fullMs = full > 0 ? full * pass(room, contextTokens + (room * (full + 1)) / 2) : 0;
  return rest > 0 ? fullMs + pass(rest, contextTokens + tokens) : fullMs;
}

/**
 * The same for a prompt behind others. The last of them and the first of its own tokens share a pass, so that a short queue
 * costs little. `queued.contextTokens` is the sum over the prompts that wait; each is taken to attend to what is before it.
 */
export function promptTimes(
  times: TimeModel,
  work: { readonly queued: PromptWork; readonly own: PromptWork; readonly beside: DecodeSet },
): PromptTimes {
  const { queued, own, beside } = work;
  const ownMs = prefillMs(times, own, beside);
  if (queued.tokens <= 0) return { waitMs: 0, ownMs };
  const room = roomOf(times, beside);
  const full = Math.floor(queued.tokens / room);
  const attended = room + (queued.contextTokens * room) / queued.tokens;
  const fullMs = full > 0 ? full * times.passMs({ ...beside, prefillTokens: room, prefillContextTokens: attended }) : 0;
  const sharedMs = prefillMs(times, { ...own, tokens: own.tokens + queued.tokens - full * room }, beside);
  return { waitMs: Math.max(0, fullMs + sharedMs - ownMs), ownMs };
}

/** How much of a pass that was seen went into prompts, in ms: all of it without decoding, else what decoding alone would not have taken. */
export function promptShareMs(times: TimeModel, pass: PassRecord, poolTokens: number): number {
  const { durationUs, prefillTokens, prefillContextTokens, decodeSequences, decodeContextTokens } = pass;
  if (prefillTokens === 0) return 0;
  if (decodeSequences === 0) return durationUs / 1000;
  const beside = { decodeSequences, decodeContextTokens, poolTokens };
  const wholeMs = times.passMs({ ...beside, prefillTokens, prefillContextTokens });
  const decodeMs = times.passMs({ ...beside, prefillTokens: 0, prefillContextTokens: 0 });
  return wholeMs > 0 ? Math.max(0, 1 - decodeMs / wholeMs) * (durationUs / 1000) : 0;
}

/** Prompt tokens that fit into a pass beside what decodes. */
function roomOf(times: TimeModel, { decodeSequences }: DecodeSet): number {
  return Math.max(1, times.passTokens - decodeSequences);
}
