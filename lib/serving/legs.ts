import type { KvSession, TransferReport } from "#gen/stator/worker/v1/link_pb";
import type { LinkFinish, StepLogprobs } from "#lib/link/link";
import type { Place, RouteNote } from "#lib/routing/router";

/** Where a choice is, and why there. */
export type Spot = Pick<Place, "target" | "weights" | "decision">;

/** A prompt that was computed, and that its worker keeps for whoever goes on from it. */
export interface KeptPrompt {
  /** As that worker told it. */
  readonly session: KvSession;
  /** Who keeps it. */
  readonly worker: bigint;
  /** Until when, on the clock of whoever runs the life; infinite where nobody said. */
  readonly untilMs: number;
}

/** Tokens that came before it was their turn. */
export interface HeldTokens {
  /** Owned. */
  readonly tokens: Uint32Array;
  /** Owned; undefined when nobody asked for them. */
  readonly logprobs: StepLogprobs | undefined;
}

/** A decode leg that began together with the prefill leg. Nothing of it is told before that has ended. */
export interface AheadLeg {
  /** Its frames are of this attempt. */
  readonly attempt: number;
  /** Where it is. */
  readonly place: Spot;
  /** When it was given to its worker. */
  readonly sentMs: number;
  /** The worker took it, and found so much of the prompt in its cache; undefined before. */
  cachedTokens: number | undefined;
  /** What it answered so far, at most one answer's tokens. */
  readonly held: HeldTokens[];
  /** Its terminal frame; undefined while it runs. */
  finish: LinkFinish | undefined;
}

/** How one choice went from the worker of its prompt to that of its answer. */
export interface HandedOff {
  /** Its index. */
  readonly choice: number;
  /** Who computed its prompt. */
  readonly prefillWorker: bigint;
  /** When its prompt was computed. */
  readonly computedMs: number;
  /** Who took it then, last; undefined before. */
  decodeWorker: bigint | undefined;
  /** When that worker was given it. */
  sentMs: number;
  /** What the worker said of the blocks, in its terminal frame. */
  report: TransferReport | undefined;
}

/** Keeps what an ahead leg sent until it is its turn. False when no such leg takes it. */
export function holdTokens(
  ahead: AheadLeg | undefined,
  attempt: number,
  frame: {
    readonly tokens: Uint32Array;
    readonly start: number;
    readonly end: number;
    readonly logprobs?: StepLogprobs | undefined;
  },
): boolean {
  if (ahead?.attempt !== attempt || ahead.cachedTokens === undefined || ahead.finish) return false;
  const { tokens, start, end, logprobs } = frame;
  ahead.held.push({ tokens: tokens.slice(start, end), logprobs: logprobs && copyOf(logprobs) });
  return true;
}

function copyOf({ chosen, topTokens, topValues }: StepLogprobs): StepLogprobs {
  return { chosen: chosen.slice(), topTokens: topTokens.slice(), topValues: topValues.slice() };
}

/** Whether a prompt is still kept. */
export function isKept(kept: KeptPrompt | undefined, nowMs: number): kept is KeptPrompt {
  return kept !== undefined && nowMs < kept.untilMs;
}

/** What the router is told of a choice, in the words of the place that it gave. */
export function noteOf({ isAhead }: { readonly isAhead: boolean }, note: RouteNote): RouteNote {
  return isAhead ? { ...note, ahead: true } : note;
}
