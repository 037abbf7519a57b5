import { Queue } from "#lib/base/collections";
import { type ContentHasher, completeBlocks, hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import type { Chosen } from "../chooser.ts";
import type { KeptDecision } from "../explain/decision-ring.ts";
import type { AskingRequest, RouteAsk } from "../router.ts";
import { COLUMNS } from "../rules/candidates.ts";
import { type CapturedDecision, captureDecision } from "./captured-decision.ts";

/** One prompt of a request that was placed, once the request has ended. */
export interface CapturedPrompt {
  /** Of the capture's prompts, in the order in which they were placed, from 0. */
  readonly number: number;
  /** Every prompt with a lower number came before, or comes never. */
  readonly openFrom: number;
  /** When it was placed first, in ms since the capture began; no lower than that of any lower number. */
  readonly atMs: number;
  /** Of the time since its request came, until then: nobody could take it before. */
  readonly waitedMs: number;
  /** Model or adapter, by its name in the API. */
  readonly model: string;
  /** Word for the weights of its worker: prompts share blocks within equal words. */
  readonly weights: string;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** Sequence hashes of its complete blocks. */
  readonly hashes: BigUint64Array;
  /** Tokens of the answer of each choice, as the ledger counts them. */
  readonly answers: readonly number[];
  /** Where it was placed first. */
  readonly worker: bigint;
  /** Data-parallel rank there. */
  readonly rank: number;
  /** How often some of its choices were placed again. */
  readonly moves: number;
  /** Higher was more urgent. */
  readonly priority: number;
  /** Why there, what was foreseen of it and what came. */
  readonly kept: KeptDecision;
  /** What the decision was made from; undefined where that was not asked for, or it had too many candidates. */
  readonly decision: CapturedDecision | undefined;
}

/** Bounds of one capture. */
export interface CaptureLimits {
  /** Memory of prompts that have not ended or were not read, in bytes: of more, further ones are lost. */
  readonly bytes: number;
  /** Candidates of one decision: with more it is left out. */
  readonly candidates: number;
}

/** What a capture gets unless told otherwise. */
export const CAPTURE_LIMITS: CaptureLimits = { bytes: 64 << 20, candidates: 1_024 };

/** What a capture is made with. */
export interface CaptureParts {
  /** Whether what decisions were made from is captured with them. */
  readonly decisions: boolean;
  /** Tokens of the blocks that prompts are cut into, at least 1. */
  readonly blockTokens: number;
  /** When it begins, on the router's clock. */
  readonly startedMs: number;
  /** Hashes prompts. */
  readonly hasher: ContentHasher;
  /** Bounds that differ from the usual ones. */
  readonly limits?: Partial<CaptureLimits>;
  /** It is read no longer. */
  readonly onClose: (capture: Capture) => void;
}

/** A prompt whose request has not ended. */
interface OpenPrompt extends Omit<CapturedPrompt, "openFrom" | "answers" | "moves"> {
  /** Place of the prompt in the request. */
  readonly place: number;
  /** Its first choice; the others follow. */
  readonly firstChoice: number;
  readonly answers: number[];
  moves: number;
  readonly bytes: number;
}

/** What a prompt takes beside its hashes and its decision, roughly. */
const PROMPT_BYTES = 512;
/** Parts of a time model. */
const TIMES_BYTES = 12 * 8;

/**
 * What one reader is told of what a router decides from now on: a prompt at a time, once its request has ended. It is
 * bounded: what does not fit is lost and counted. It never keeps a token.
 */
export class Capture {
  readonly #parts: CaptureParts;
  readonly #limits: CaptureLimits;
  readonly #chain = new TokenHasher();
  readonly #open = new Map<AskingRequest, OpenPrompt[]>();
  /** Prompts of requests for which there was no room, or that are no part of it. */
  readonly #out = new WeakMap<AskingRequest, Set<number>>();
  readonly #ready: Queue<{ readonly prompt: CapturedPrompt; readonly bytes: number }>;
  #numbers = 0;
  #openPrompts = 0;
  #bytes = 0;
  #lost = 0;
  #leftOut = 0;
  /** Called when there is something to take. */
  onNews: () => void = () => {};

  constructor(parts: CaptureParts) {
    this.#parts = parts;
    this.#limits = { ...CAPTURE_LIMITS, ...parts.limits };
    this.#ready = new Queue(Math.max(1, Math.ceil(this.#limits.bytes / PROMPT_BYTES)));
  }

  /** Prompts that were placed and whose requests have not ended. */
  get open(): number {
    return this.#openPrompts;
  }

  /** Prompts that wait to be taken. */
  get ready(): number {
    return this.#ready.size;
  }

  /** Prompts for which there was no room. */
  get lost(): number {
    return this.#lost;
  }

  /** Prompts that are no part of it: those without tokens, and those that are not asked for an answer. */
  get leftOut(): number {
    return this.#leftOut;
  }

  /** The next prompt whose request has ended; undefined when there is none now. */
  take(): CapturedPrompt | undefined {
    const next = this.#ready.shift();
    if (next) this.#bytes -= next.bytes;
    return next?.prompt;
  }

  /** Nobody reads it any more. */
  close(): void {
    this.#open.clear();
    this.#openPrompts = 0;
    this.#parts.onClose(this);
  }

  /** A prompt was placed; the table of the choice is borrowed. `draws` is what was drawn for it. */
  placed(ask: RouteAsk, chosen: Chosen, draws: Float64Array): void {
    const { asker, choicesPerPrompt, prompts, kind } = ask;
    if (!asker || asker.arrivedMs < this.#parts.startedMs) return;
    const place = Math.floor(chosen.kept.choices[0]! / choicesPerPrompt);
    if (this.#out.get(asker)?.has(place)) return;
    const known = this.#open.get(asker)?.find((prompt) => prompt.place === place);
    if (known) {
      known.moves++;
      return;
    }
    const tokens = prompts[place];
    const isPart = kind === "generate" && tokens !== undefined && tokens.length > 0;
    if (isPart && this.#begin(asker, { ask, chosen, tokens, draws, place })) return;
    if (isPart) this.#lost++;
    else this.#leftOut++;
    this.#out.set(asker, (this.#out.get(asker) ?? new Set()).add(place));
  }

  /** A choice of a request has ended somewhere, with so many tokens by then. */
  ended(asker: AskingRequest, choice: number, tokens: number): void {
    for (const { firstChoice, answers } of this.#open.get(asker) ?? []) {
      const at = choice - firstChoice;
      if (at >= 0 && at < answers.length) answers[at] = tokens;
    }
  }

  /** A request has ended. */
  done(asker: AskingRequest): void {
    const prompts = this.#open.get(asker);
    if (!prompts) return;
    this.#open.delete(asker);
    this.#openPrompts -= prompts.length;
    const [oldest] = this.#open.values();
    const openFrom = oldest?.[0]?.number ?? this.#numbers;
    for (const [at, { place: _, firstChoice: __, bytes, ...prompt }] of prompts.entries()) {
      const next = prompts[at + 1]?.number ?? openFrom;
      this.#ready.push({ prompt: { ...prompt, openFrom: Math.min(openFrom, next) }, bytes });
    }
    this.onNews();
  }

  /** Whether there is room for it. */
  #begin(
    asker: AskingRequest,
    about: {
      readonly ask: RouteAsk;
      readonly chosen: Chosen;
      readonly tokens: Uint32Array;
      readonly draws: Float64Array;
      readonly place: number;
    },
  ): boolean {
    const { blockTokens, startedMs, decisions } = this.#parts;
    const { ask, chosen, tokens, draws, place } = about;
    const { seat, kept, candidates } = chosen;
    const blocks = completeBlocks(tokens.length, blockTokens);
    const isWhole = decisions && candidates.count <= this.#limits.candidates;
    const rowBytes = 8 * (COLUMNS.length + 2) + TIMES_BYTES;
    const bytes = PROMPT_BYTES + 8 * blocks + (isWhole ? rowBytes * candidates.count : 0);
    if (this.#bytes + bytes > this.#limits.bytes) return false;
    this.#bytes += bytes;
    const { choicesPerPrompt, model, priority } = ask;
    const prompt: OpenPrompt = {
      number: this.#numbers++,
      atMs: kept.atMs - startedMs,
      waitedMs: kept.atMs - asker.arrivedMs,
      ...{ model, priority, place, bytes, kept, moves: 0 },
      weights: seat.fleet.weights,
      promptTokens: tokens.length,
      hashes: this.#hash(tokens, blocks, hashSeed(ask.salt, ask.adapter)),
      firstChoice: place * choicesPerPrompt,
      answers: new Array<number>(choicesPerPrompt).fill(0),
      worker: seat.worker,
      rank: seat.rank,
      decision: isWhole ? captureDecision(kept, candidates, draws) : undefined,
    };
    const prompts = this.#open.get(asker);
    if (prompts) prompts.push(prompt);
    else this.#open.set(asker, [prompt]);
    this.#openPrompts++;
    return true;
  }

  #hash(tokens: Uint32Array, blocks: number, seed: bigint): BigUint64Array {
    const { hasher, blockTokens } = this.#parts;
    const local = new BigUint64Array(blocks);
    const sequence = new BigUint64Array(blocks);
    if (blocks > 0) hasher.hashContents(tokens, blockTokens, 0, seed, 0, blocks, local);
    this.#chain.chainRange(local, { from: 0, to: blocks }, sequence);
    return sequence;
  }
}
