import type { PassRecord, PassShape, TimeModel } from "./time-model.ts";

/** Sequences that decode on while prompts are computed. */
export type DecodeSet = Pick<PassShape, "decodeSequences" | "decodeContextTokens" | "poolTokens">;

/** Prompt tokens to compute. */
export interface PromptWork {
  /** Those that were not found in a cache. */
  readonly tokens: number;
  /** Tokens before them that are there already. */
  readonly contextTokens: number;
  /**
   * The prompt is computed in whole chunks of so many tokens, from its start, and what is left of it in a pass of its own,
   * as an exact engine does; 0 or absent: it is cut anywhere.
   */
  readonly chunkTokens?: number;
}

/** Until a prompt has its first token. The two add up to what goes by. */
export interface PromptTimes {
  /** Because of prompts that wait before it. */
  readonly waitMs: number;
  /** What it takes by itself. */
  readonly ownMs: number;
}

/** Tokens that a pass of their own computes at the end of a prompt; 0 where none is left behind its chunks, or nothing else is to be computed. */
export function tailTokens({ tokens, contextTokens, chunkTokens = 0 }: PromptWork): number {
  const tail = chunkTokens > 0 ? (contextTokens + tokens) % chunkTokens : 0;
  return tail < tokens ? tail : 0;
}

/**
 * Milliseconds to compute one prompt beside sequences that decode: whole passes of what the model computes at once, each
 * with the decoding of that pass. The full passes are taken at their mean context, which is exact where time is linear in
 * it. Takes constant time.
 */
export function prefillMs(times: TimeModel, work: PromptWork, beside: DecodeSet): number {
  return passesMs(times, { work, tokens: work.tokens }, beside);
}

/** How many passes that are. */
export function prefillPasses(times: TimeModel, work: PromptWork, beside: DecodeSet): number {
  const tail = tailTokens(work);
  return Math.ceil((work.tokens - tail) / roomOf(times, beside, work.chunkTokens)) + (tail > 0 ? 1 : 0);
}

/** The same as `prefillMs` with so many tokens in its passes, but for that of its tail: those of prompts before it may be among them. */
function passesMs(
  times: TimeModel,
  { work, tokens }: { readonly work: PromptWork; readonly tokens: number },
  beside: DecodeSet,
): number {
  const { contextTokens, chunkTokens = 0 } = work;
  const tail = tailTokens(work);
  const head = tokens - tail;
  const room = roomOf(times, beside, chunkTokens);
  const full = Math.floor(head / room);
  const rest = head - full * room;
  const pass = (prefillTokens: number, prefillContextTokens: number) =>
    times.passMs({ ...beside, prefillTokens, prefillContextTokens });
  const fullMs = full > 0 ? full * pass(room, contextTokens + (room * (full + 1)) / 2) : 0;
  const headMs = rest > 0 ? fullMs + pass(rest, contextTokens + head) : fullMs;
  return tail > 0 ? headMs + pass(tail, contextTokens + work.tokens) : headMs;
}

/**
 * The same for a prompt behind others. The last of them and the first of its own tokens share a pass, so that a short queue
 * costs little. `queued.contextTokens` is the sum over the prompts that wait; each is taken to attend to what is before it,
 * and to be cut anywhere: what is left of them shares passes with the chunks of those behind.
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
  const sharedMs = passesMs(times, { work: own, tokens: own.tokens + queued.tokens - full * room }, beside);
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

/** Prompt tokens that fit into a pass beside what decodes; whole chunks, where one fits. */
function roomOf(times: TimeModel, { decodeSequences }: DecodeSet, chunkTokens = 0): number {
  const room = Math.max(1, times.passTokens - decodeSequences);
  return chunkTokens > 0 && room >= chunkTokens ? room - (room % chunkTokens) : room;
}
