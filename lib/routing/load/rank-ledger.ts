import type { PassRecord } from "#lib/perf/time-model";
import type { RankLoad } from "./rank-load.ts";
import { RecentRate } from "./recent.ts";
import { SharedBlocks } from "./shared-blocks.ts";

/** What a step record says of other callers counts whole for so long, and then half as much after each half-life. */
const FRESH_MS = 2_000;
const HALF_LIFE_MS = 2_000;

/** Requests that this router placed and that have not ended, in sums. Reservations change them; all begin and end at 0. */
export interface OwnLoad {
  /** Choices. */
  open: number;
  /** Of those, what the worker has said that it has taken: its records count them too. */
  accepted: number;
  /** Accepted ones without a first token. */
  acceptedPrefilling: number;
  /** Prompt tokens of those, once for each choice. */
  acceptedPrefillTokens: number;
  /** Of prompts without a first token, less what was cached. */
  prefillTokens: number;
  /** The same with it. */
  rawPrefillTokens: number;
  /** Of `prefillTokens`, what passes have computed. Below 0 between the word that a prompt is done and the record of its last pass. */
  startedTokens: number;
  /** Choices that have had their first token. */
  decodeSequences: number;
  /** Tokens of their contexts. */
  decodeContextTokens: number;
  /** Blocks that nobody shares or of which nobody knows. */
  privateBlocks: number;
}

/** A prompt without a first token. */
export interface WaitingPrompt {
  /** What is to be computed of it, by passes that were told of or not. */
  tokens: number;
}

/** What the last record says beyond this router's own requests. */
interface OtherLoad {
  readonly requests: number;
  readonly waitingTokens: number;
  readonly decodeSequences: number;
  readonly blocks: number;
}

const NO_OTHERS: OtherLoad = { requests: 0, waitingTokens: 0, decodeSequences: 0, blocks: 0 };

/** The load of one rank of one incarnation of a worker. */
export class RankLedger {
  readonly own: OwnLoad = {
    ...{ open: 0, accepted: 0, acceptedPrefilling: 0, acceptedPrefillTokens: 0, prefillTokens: 0, rawPrefillTokens: 0 },
    startedTokens: 0,
    ...{ decodeSequences: 0, decodeContextTokens: 0, privateBlocks: 0 },
  };
  /** Blocks of prompts whose content is known. */
  readonly shared = new SharedBlocks();
  /** Tokens of a block; 0 where nobody knows: then blocks are what the records say. */
  blockTokens = 0;
  /** Blocks of its pool; 0 where nobody knows. */
  totalBlocks = 0;
  readonly #promptMs = new RecentRate();
  readonly #tokens = new RecentRate();
  #others = NO_OTHERS;
  /** Tokens of one context, of all callers' lately. */
  #contextTokens = 0;
  #waitingRequests = 0;
  #usedBlocks = 0;
  #sessionsFull = false;
  #saidMs: number | undefined;
  /** When the pass that runs began, and what of prompts was left to compute then. */
  #passSinceMs = 0;
  #passTokens = 0;
  /** Own prompts without a first token, in the order in which they came. */
  readonly #prompts = new Set<WaitingPrompt>();

  /** Distinct blocks of this router's requests. */
  get ownBlocks(): number {
    return this.shared.distinct + this.own.privateBlocks;
  }

  /** Takes a record; borrows it. `promptMs`: how much of the pass went into prompts. */
  observe(pass: PassRecord, { nowMs, promptMs }: { readonly nowMs: number; readonly promptMs: number }): void {
    this.#promptMs.add(promptMs, nowMs);
    this.#tokens.add(pass.prefillTokens + pass.decodeSequences, nowMs);
    if (pass.decodeSequences > 0) this.#contextTokens = pass.decodeContextTokens / pass.decodeSequences;
    if (pass.totalBlocks > 0) this.totalBlocks = pass.totalBlocks;
    this.#waitingRequests = pass.waitingRequests;
    this.#usedBlocks = pass.usedBlocks;
    this.#sessionsFull = pass.sessionsFull ?? false;
    this.#others = this.#othersOf(pass);
    this.#saidMs = nowMs;
    this.#passSinceMs = nowMs;
    const { own } = this;
    own.startedTokens = Math.max(0, Math.min(own.startedTokens + pass.prefillTokens, own.prefillTokens));
    this.#passTokens = this.#leftTokens;
  }

  get #leftTokens(): number {
    return this.own.prefillTokens - Math.max(0, this.own.startedTokens) + this.#others.waitingTokens;
  }

  /** A request comes. Where nothing runs, a pass begins with it. */
  begin(nowMs: number): void {
    if (this.own.open === 0 && this.#others.requests === 0) this.#passSinceMs = nowMs;
  }

  /** A prompt waits from now on, behind all others. Its tokens are counted already; whoever adds it changes them. */
  wait(prompt: WaitingPrompt, nowMs: number): void {
    this.#prompts.add(prompt);
    if (nowMs === this.#passSinceMs) this.#passTokens = this.#leftTokens;
  }

  /** It has its first token, or has ended. */
  leave(prompt: WaitingPrompt): void {
    this.#prompts.delete(prompt);
  }

  /** Own prompts that end within the last so many of the tokens that are to be computed. */
  endingWithin(tokens: number): number {
    let left = this.own.prefillTokens - tokens;
    let count = 0;
    for (const prompt of this.#prompts) {
      left -= prompt.tokens;
      if (left < 0) count++;
    }
    return count;
  }

  /**
   * What is left when this router's own are taken away. A request that the worker has not confirmed yet is not in its record.
   * Which of the waiting ones are whose nobody says: as many and as much as can be this router's are taken to be.
   */
  #othersOf(pass: PassRecord): OtherLoad {
    const { own } = this;
    // What runs after the pass, and not what decoded in it: a request whose last token it was is nobody's load.
    const requests = Math.max(0, pass.runningRequests + pass.waitingRequests - own.accepted);
    const waiting = Math.min(requests, Math.max(0, pass.waitingRequests - own.acceptedPrefilling));
    const waitingTokens = waiting > 0 ? Math.max(0, pass.waitingTokens - own.acceptedPrefillTokens) : 0;
    const blocks = Math.max(0, pass.usedBlocks - this.ownBlocks);
    return { requests, waitingTokens, decodeSequences: requests - waiting, blocks };
  }

  /** The load now. */
  read(nowMs: number): RankLoad {
    const { own } = this;
    const others = this.#others;
    const ageMs = this.#saidMs === undefined ? undefined : nowMs - this.#saidMs;
    const trust = trustOf(ageMs);
    const otherPrefillTokens = Math.round(trust * others.waitingTokens);
    const otherSequences = Math.round(trust * others.decodeSequences);
    return {
      prefillTokens: own.prefillTokens + otherPrefillTokens,
      rawPrefillTokens: own.rawPrefillTokens + otherPrefillTokens,
      startedTokens: Math.max(0, Math.min(own.startedTokens, own.prefillTokens)),
      passingTokens: nowMs > this.#passSinceMs ? this.#passTokens : 0,
      passingMs: own.open > 0 ? nowMs - this.#passSinceMs : 0,
      activeBlocks: this.ownBlocks + Math.round(trust * others.blocks),
      openRequests: own.open + Math.round(trust * others.requests),
      waitingRequests: Math.round(trust * this.#waitingRequests),
      decodeSequences: own.decodeSequences + otherSequences,
      decodeContextTokens: own.decodeContextTokens + Math.round(otherSequences * this.#contextTokens),
      usedBlocks: this.#usedBlocks,
      sessionsFull: this.#sessionsFull,
      totalBlocks: this.totalBlocks,
      prefillUtilisation: Math.min(1, this.#promptMs.perMs(nowMs)),
      tokensPerSecond: 1_000 * this.#tokens.perMs(nowMs),
      ageMs,
    };
  }
}

function trustOf(ageMs: number | undefined): number {
  if (ageMs === undefined || ageMs <= FRESH_MS) return 1;
  return 0.5 ** ((ageMs - FRESH_MS) / HALF_LIFE_MS);
}
