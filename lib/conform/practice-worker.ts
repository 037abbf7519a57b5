import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type EmbeddingResult,
  EmbeddingResultSchema,
  type Finish,
  FinishReason,
  FinishSchema,
  type PromptLogprobs,
  PromptLogprobsSchema,
  RequestKind,
  StepSchema,
  type Submit,
} from "#gen/stator/worker/v1/link_pb";
import { readU32, viewBytes, writeU32 } from "#lib/base/bytes";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { checkFeatures, HAND_OFF_FEATURES, LINK_FEATURES } from "#lib/link/features";
import { readGuidance } from "#lib/link/guidance";
import type { LinkLimits } from "#lib/link/limits";
import type { WorkerChannel, WorkerLink } from "#lib/link/link";
import { openWorkerLink } from "#lib/link/worker-link";
import { errorDetail } from "#lib/rpc/error-detail";
import { compileGuidance } from "#lib/text/grammar/guidance";
import type { PracticeRooms } from "./practice-rooms.ts";

/** What a practice worker is like. */
export interface PracticeOptions {
  /** As Welcome says it. */
  readonly instanceId: bigint;
  /** As Welcome says it. */
  readonly incarnation: bigint;
  /** The only name that it serves. */
  readonly model: string;
  /** Borrowed; steps go by it. */
  readonly clock: Clock;
  /** Pause between steps. */
  readonly stepMs: number;
  /** Requests beyond are refused with OVERLOADED. */
  readonly maxRequests: number;
  /** Tokens for each open request in every step, at most 255; 1 unless given. */
  readonly tokensPerStep?: number;
  /** Optional features of a link that it has; all unless given, and those of a hand-off with `rooms`. */
  readonly features?: readonly string[];
  /** Shared by workers that go on from each other's prompts. It computes whole answers alone unless given. */
  readonly rooms?: PracticeRooms;
  /** Hears of each request that it takes. */
  readonly onTaken?: (submit: Submit) => void;
  /** Of its end of each link, where they differ from LINK_LIMITS. */
  readonly limits?: Partial<LinkLimits>;
}

/** A worker without an engine. */
export interface PracticeWorker {
  /** Serves one caller. */
  serve(channel: WorkerChannel): WorkerLink;
  /** Over all links, those that have not ended. */
  readonly openRequests: number;
  /** Requests that it took since it was made. */
  readonly taken: number;
}

interface Running {
  readonly link: WorkerLink;
  readonly submit: Submit;
  readonly promptTokens: number;
  readonly promptHash: number;
  /** Place of the next token of the prompt to score; the prompt's length when nobody asked. */
  scored: number;
  position: number;
  /** Another worker computes its prompt. */
  waits: boolean;
  cancelled: boolean;
}

/** Tokens of a prompt that are scored in one step. */
const SCORES_PER_STEP = 2;

/** It has no engine, and no feature of one but to hand prompts on. */
const PRACTICE_FEATURES: readonly string[] = Object.values(LINK_FEATURES);
const ROOM_FEATURES: readonly string[] = [...PRACTICE_FEATURES, ...Object.values(HAND_OFF_FEATURES)];

/** What it computes. */
const KINDS: ReadonlySet<RequestKind> = new Set([RequestKind.GENERATE, RequestKind.EMBED, RequestKind.PREFILL]);

/** Length of a practice embedding. */
const EMBEDDING_SIZE = 8;

/** The token of a practice answer: a function of prompt, choice and position alone (FNV-1a over the three). */
export function practiceToken(prompt: Uint32Array, choice: number, position: number): number {
  return tokenBehind(hashOf(prompt), choice, position);
}

function hashOf(prompt: Uint32Array): number {
  let hash = 0x811c9dc5;
  for (const token of prompt) hash = mix(hash, token);
  return hash;
}

function tokenBehind(promptHash: number, choice: number, position: number): number {
  return mix(mix(promptHash, choice), position) % 32_000;
}

function mix(hash: number, number: number): number {
  return Math.imul(hash ^ number, 0x01000193) >>> 0;
}

/**
 * A worker without an engine, for the tests of whatever talks to workers: it keeps the contract of the link, and its
 * answers can be predicted. It scores prompts, generates until max_tokens, continues behind generated_token_ids, embeds, and
 * with `rooms` it computes prompts for others and goes on from theirs.
 */
export function createPracticeWorker(options: PracticeOptions): PracticeWorker {
  return new Practice(options);
}

class Practice implements PracticeWorker {
  readonly #options: PracticeOptions;
  readonly #links = new Map<WorkerLink, Map<number, Running>>();
  #timer: Timer | undefined;
  #steps = 0n;
  taken = 0;

  constructor(options: PracticeOptions) {
    this.#options = options;
  }

  get openRequests(): number {
    let open = 0;
    for (const running of this.#links.values()) open += running.size;
    return open;
  }

  serve(channel: WorkerChannel): WorkerLink {
    const { instanceId, incarnation, model, maxRequests, clock, limits } = this.#options;
    const features = [...this.#features];
    const running = new Map<number, Running>();
    const link = openWorkerLink(channel, {
      ...{ clock, limits },
      introduce: () => ({
        ...{ instanceId, incarnation, models: [model], maxRunningRequests: maxRequests, maxWaitingRequests: 0 },
        ...{ totalKvBlocks: 1_024n, ranks: 1, features, draining: false },
      }),
      sink: {
        onSubmit: (submit) => this.#take(link, running, submit),
        onCancel: (handles) => {
          for (const handle of handles) {
            const one = running.get(handle);
            if (one) one.cancelled = true;
          }
        },
        onEnd: () => void this.#links.delete(link),
      },
    });
    this.#links.set(link, running);
    return link;
  }

  #take(
    link: WorkerLink,
    running: Map<number, Running>,
    submit: Submit,
  ): { cachedTokens: number; queuedAhead: number } {
    const { model, maxRequests } = this.#options;
    checkFeatures(submit, this.#features);
    if (submit.model !== model) throw new StatorError("MODEL_NOT_FOUND", { model: submit.model });
    if (!KINDS.has(submit.kind)) {
      throw new StatorError("INVALID_ARGUMENT", { detail: `No kind of this worker: ${submit.kind}` });
    }
    const prompt = submit.promptText === "" ? readU32(submit.promptTokenIds).slice() : encode(submit.promptText);
    if (prompt.length === 0) throw new StatorError("INVALID_ARGUMENT", { detail: "No prompt" });
    if (this.openRequests >= maxRequests) throw new StatorError("OVERLOADED", { what: model });
    // It holds to no form, and says which is none.
    if (submit.guidance) compileGuidance(readGuidance(submit.guidance));
    const position = submit.generatedTokenIds.length / 4;
    const about = { promptTokens: prompt.length, promptHash: hashOf(prompt) };
    const scored = submit.outputs?.promptLogprobs ? 1 : prompt.length;
    const waits = submit.room !== undefined && submit.kind !== RequestKind.PREFILL;
    running.set(submit.handle, { link, submit, ...about, scored, position, waits, cancelled: false });
    this.taken++;
    this.#options.onTaken?.(submit);
    this.#timer ??= this.#options.clock.after(this.#options.stepMs, () => this.#step());
    return { cachedTokens: 0, queuedAhead: 0 };
  }

  get #features(): readonly string[] {
    const { features, rooms } = this.#options;
    return features ?? (rooms ? ROOM_FEATURES : PRACTICE_FEATURES);
  }

  #step(): void {
    this.#timer = undefined;
    this.#steps++;
    for (const [link, running] of this.#links) this.#stepLink(link, running);
    if (this.openRequests > 0) this.#timer = this.#options.clock.after(this.#options.stepMs, () => this.#step());
  }

  #stepLink(link: WorkerLink, running: Map<number, Running>): void {
    const handles: number[] = [];
    const counts: number[] = [];
    const tokens: number[] = [];
    const finishes: Finish[] = [];
    const embeddings: EmbeddingResult[] = [];
    const promptLogprobs: PromptLogprobs[] = [];
    for (const [handle, one] of running) {
      const embed = one.submit.kind === RequestKind.EMBED;
      if (!one.cancelled && one.scored < one.promptTokens) {
        promptLogprobs.push(scoresOf(handle, one));
        continue;
      }
      const met = this.#meet(one);
      if (met === "waits") continue;
      if (met === "nobody") {
        running.delete(handle);
        finishes.push(finishOf(handle, one, { error: errorDetail(NO_PROMPT) }));
        continue;
      }
      const longest = Math.max(1, one.submit.stopping?.maxTokens ?? 1);
      const maxTokens = Math.min(longest, promptEnd(one.submit));
      if (embed && !one.cancelled) {
        const values = Float32Array.from({ length: EMBEDDING_SIZE }, (_, at) => tokenBehind(one.promptHash, 0, at));
        embeddings.push(create(EmbeddingResultSchema, { handle, values: viewBytes(values) }));
      } else if (!one.cancelled && one.position < maxTokens) {
        const end = Math.min(maxTokens, one.position + (this.#options.tokensPerStep ?? 1));
        handles.push(handle);
        counts.push(end - one.position);
        while (one.position < end) tokens.push(tokenBehind(one.promptHash, one.submit.choice, one.position++));
      }
      if (!one.cancelled && !embed && one.position < maxTokens) continue;
      running.delete(handle);
      const done = embed ? FinishReason.DONE : FinishReason.LENGTH;
      const more = this.#handOff(one, maxTokens < longest, tokens.slice(-1));
      finishes.push(finishOf(handle, one, { reason: one.cancelled ? FinishReason.CANCELLED : done, ...more }));
    }
    const step = create(StepSchema, {
      step: this.#steps,
      durationUs: Math.max(1, this.#options.stepMs * 1_000),
      decodeSequences: handles.length,
      totalBlocks: 1_024,
      runningRequests: running.size,
      handles: writeU32(handles),
      counts: tokens.length === handles.length ? new Uint8Array(0) : Uint8Array.from(counts),
      tokens: writeU32(tokens),
      finishes,
      embeddings,
      promptLogprobs,
    });
    link.step(step);
  }

  /** Whether it has a prompt to go on from: its own, or one that came into its room. */
  #meet(one: Running): "here" | "waits" | "nobody" {
    if (!one.waits || one.cancelled) return "here";
    const drawn = this.#options.rooms?.drawnIn(one.submit);
    if (drawn === undefined) return "waits";
    if (drawn === null) return "nobody";
    one.position += drawn;
    one.waits = false;
    return "here";
  }

  /** What the terminal frame says of the blocks of a prompt: where they are kept, or how they came. */
  #handOff(
    { submit, cancelled }: Running,
    isKept: boolean,
    firstTokens: number[],
  ): MessageInitShape<typeof FinishSchema> {
    const { rooms } = this.#options;
    if (isKept && !cancelled && rooms) return { session: rooms.keep(submit, this.#options, firstTokens) };
    rooms?.fail(submit);
    return { transfer: cancelled ? undefined : rooms?.fetch(submit) };
  }
}

/** Nothing came into the room. */
const NO_PROMPT = new StatorError("STREAM_LOST", { detail: "the prompt came to nothing" });

/** Where a prompt alone ends: behind one token. */
function promptEnd({ kind, generatedTokenIds }: Submit): number {
  return kind === RequestKind.PREFILL ? generatedTokenIds.length / 4 + 1 : Number.POSITIVE_INFINITY;
}

function finishOf(handle: number, one: Running, more: MessageInitShape<typeof FinishSchema>): Finish {
  return create(FinishSchema, { handle, promptTokens: one.promptTokens, completionTokens: one.position, ...more });
}

/** The next ones of a prompt: each is minus its place. */
function scoresOf(handle: number, one: Running): PromptLogprobs {
  const position = one.scored;
  one.scored = Math.min(one.promptTokens, position + SCORES_PER_STEP);
  const chosen = Float32Array.from({ length: one.scored - position }, (_, at) => -(position + at));
  return create(PromptLogprobsSchema, { handle, position, chosen: viewBytes(chosen) });
}

function encode(text: string): Uint32Array {
  return Uint32Array.from(new TextEncoder().encode(text));
}
