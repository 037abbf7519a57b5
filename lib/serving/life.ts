import { Backoff, type BackoffTimes } from "#lib/base/backoff";
import type { StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import type { Leg } from "#lib/routing/router";
import type { CarriedAsk } from "./ask.ts";
import type { AheadLeg, HandedOff, KeptPrompt, Spot } from "./legs.ts";
import { TokenBuffer } from "./token-buffer.ts";

/** Bounds on how long a request is tried. */
export interface LifeLimits {
  /**
   * Attempts of one choice in a row that ended without a token: at the last the request fails, as poisoned when each ended
   * with the death of its worker. 0: what has begun somewhere is not continued elsewhere.
   */
  readonly fruitless: number;
  /** Longest wait of a request that was placed before, while there is no worker to continue on. */
  readonly waitMs: number;
  /** Longest wait of one that was never placed. */
  readonly firstWaitMs: number;
  /** Waits between two looks for a worker. */
  readonly backoff: BackoffTimes;
}

/** What every request gets unless told otherwise. */
export const LIFE_LIMITS: LifeLimits = {
  fruitless: 3,
  waitMs: 15_000,
  firstWaitMs: 2_000,
  backoff: { firstMs: 50, longestMs: 1_000 },
};

/** Where a choice is. `sent`: given to a worker that did not accept it yet. */
export type ChoicePhase = "unplaced" | "sent" | "accepted" | "ended";

/** One choice of a request. */
export interface Choice {
  /** Prompt index times choices per prompt, and the choice among them. */
  readonly index: number;
  /** Token ids, or text for a worker that takes text; shared by the choices of a prompt. Borrowed from the request. */
  readonly prompt: Uint32Array | string;
  /** Only `sent` and `accepted` have a worker. */
  phase: ChoicePhase;
  /** The attempt that it is on; frames of another one are of the past. */
  attempt: number;
  /** Where, and why there; undefined while it is nowhere. */
  place: Spot | undefined;
  /** What it does there; what it did last while it is nowhere. */
  leg: Leg;
  /** Its place is one at which its decode leg began before its prompt was computed: the router hears of it as that. */
  isAhead: boolean;
  /** The decode leg that began together with the prefill leg that it is on. */
  ahead: AheadLeg | undefined;
  /** Its prompt as another worker keeps it: what it asks the router for is a decode leg. */
  kept: KeptPrompt | undefined;
  /** Word for the weights of its last place: what they began no others continue. */
  weights: string | undefined;
  /** Delivered tokens, over all attempts. */
  readonly generated: TokenBuffer;
  /** Pieces of text that were delivered, from a worker of text. */
  pieces: number;
  /** What its worker counted: of text nobody else can. undefined until its terminal frame. */
  told: LinkFinish | undefined;
  /** How many tokens, or pieces, are the answer, once whoever asked said that it is complete. */
  counted: number | undefined;
  /** Place in the prompt of the next token whose log-probability is delivered. */
  scored: number;
  /** Its embedding was delivered. */
  embedded: boolean;
  /** Some attempt was accepted, since the last one that ended as it should. */
  hasRun: boolean;
  /** Tokens that it had when the attempt began. */
  attemptFrom: number;
  /** Attempts in a row that ended without a token. */
  fruitless: number;
  /** How many of the last of `fruitless` ended with the death of the worker. */
  deaths: number;
  /** What the first worker that took it found in its cache, as far as it said. */
  cachedTokens: number | undefined;
}

/** One request from arrival to its record. Only `stepLife` and `takeTokens` write it. */
export interface Life {
  /** As it was asked; never changed. */
  readonly request: CarriedAsk;
  /** How long it is tried. */
  readonly limits: LifeLimits;
  /** On the clock of whoever runs it. */
  readonly arrivedMs: number;
  /** The same moment as people read it, for the record. */
  readonly arrivedUnixMs: number;
  /** By index: all choices of the first prompt, then those of the next. */
  readonly choices: readonly Choice[];
  /** Of `choices`, those that have not ended. */
  openChoices: number;
  /** Its record was written: nothing happens any more. */
  done: boolean;
  /** Placements so far. */
  attempt: number;
  /** How long the last placement was searched for, in milliseconds; undefined when it was found at once. */
  waitedMs: number | undefined;
  /** The last attempt that the client was told of. */
  toldAttempt: number;
  /** How often a choice that had begun on one worker was taken by another, or by the same again, but for its next leg. */
  migrations: number;
  /** Of the first choice of which one worker computed the prompt and another was to go on; undefined when none had two legs. */
  handedOff: HandedOff | undefined;
  /** A place was asked for and has not been answered. */
  placing: boolean;
  /** Workers that failed since one last took something: not asked again before all others were. */
  readonly avoid: Set<bigint>;
  /** When the search for a worker began, until one takes a choice. */
  searchingSinceMs: number | undefined;
  /** Waits of this search. */
  readonly backoff: Backoff;
  /** Why the last attempt failed; told when no further one is made. */
  lastError: StatorError | undefined;
  /** Workers that took a choice, in order. */
  readonly workers: bigint[];
  /** When the first token of any choice came; undefined before. */
  firstTokenMs: number | undefined;
  /** Frames of attempts that were over. */
  droppedFrames: number;
}

/** A request that has just arrived. */
export function createLife(
  request: CarriedAsk,
  options: { readonly nowMs: number; readonly unixMs: number; readonly limits?: Partial<LifeLimits> },
): Life {
  const choices = promptsOf(request).flatMap((prompt, at) =>
    Array.from({ length: request.choicesPerPrompt }, (_, choice): Choice => {
      return {
        index: at * request.choicesPerPrompt + choice,
        prompt,
        phase: "unplaced",
        attempt: 0,
        place: undefined,
        leg: "whole",
        isAhead: false,
        ahead: undefined,
        kept: undefined,
        weights: undefined,
        generated: new TokenBuffer(hasTokens(request) ? request.stopping.maxTokens : 0),
        pieces: 0,
        told: undefined,
        counted: undefined,
        scored: 1,
        embedded: false,
        hasRun: false,
        attemptFrom: 0,
        fruitless: 0,
        deaths: 0,
        cachedTokens: undefined,
      };
    }),
  );
  const limits = options.limits ? { ...LIFE_LIMITS, ...options.limits } : LIFE_LIMITS;
  return {
    request,
    limits,
    arrivedMs: options.nowMs,
    arrivedUnixMs: options.unixMs,
    choices,
    openChoices: choices.length,
    done: false,
    attempt: 0,
    waitedMs: undefined,
    toldAttempt: 0,
    migrations: 0,
    handedOff: undefined,
    placing: false,
    avoid: new Set(),
    searchingSinceMs: undefined,
    backoff: new Backoff(limits.backoff),
    lastError: undefined,
    workers: [],
    firstTokenMs: undefined,
    droppedFrames: 0,
  };
}

function hasTokens({ kind }: CarriedAsk): boolean {
  return kind !== "embed" && kind !== "tensor";
}

function promptsOf({ input }: CarriedAsk): readonly (Uint32Array | string)[] {
  if (input.kind === "tokens") return input.prompts;
  return input.texts.map((text) => (typeof text === "string" ? text : new TextDecoder().decode(text)));
}
