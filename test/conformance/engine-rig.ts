import { requireAbility } from "#lib/engines/ability";
import type {
  Engine,
  EngineCard,
  EngineFinish,
  EngineLogprobs,
  EnginePromptLogprobs,
  EngineStep,
  GenerateRequest,
  EngineSizes as KnownSizes,
  KvNotice,
  StepMetrics,
} from "#lib/engines/engine";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { GREEDY, type SamplingOptions, type StoppingOptions } from "#lib/tokens/sampling";

/** An engine of which nothing but its waiting line may be unknown. */
export interface MeasuredEngine extends Engine {
  readonly card: EngineCard & Omit<KnownSizes, "maxWaitingRequests">;
}

/** Sizes of an engine under test; what is left out is the engine's own choice. */
export interface EngineSizes {
  readonly contextTokens?: number;
  readonly maxRunning?: number;
  readonly maxWaiting?: number;
  readonly maxBatchTokens?: number;
}

/** An engine under test and what it is asked. */
export interface EngineRig {
  open(sizes?: EngineSizes): Promise<MeasuredEngine>;
  /** What it refuses although engines have it. */
  readonly lacks?: readonly "bias"[];
  /** Rendered prompts whose greedy answers do not hang by a hair: they are equal alone and among others. */
  readonly prompts: readonly string[];
  /** A prompt of many blocks. */
  readonly longPrompt: string;
}

/** What a test says of a request; the rest is filled in. */
export interface Ask extends Partial<Omit<GenerateRequest, "kind" | "id" | "sampling" | "stopping" | "promptTokens">> {
  readonly prompt: string | Uint32Array;
  readonly sampling?: Partial<SamplingOptions>;
  readonly stopping?: Partial<StoppingOptions>;
}

/** What came of one request. */
export interface Answer {
  readonly tokens: number[];
  readonly chosen: number[];
  readonly top: { token: number; logprob: number }[][];
  /** Of the prompt's tokens, from the second on. */
  readonly scores: { readonly chosen: number[]; readonly top: { token: number; logprob: number }[][] };
  embedding: Float32Array | undefined;
  readonly finish: EngineFinish;
}

/** A request that was submitted. What the engine says later of taking it is not known at once. */
export interface Started {
  readonly id: number;
  /** Resolves when it is taken; rejects with the reason when it is refused. */
  readonly taken: Promise<void>;
  /** Resolves with its end. */
  readonly done: Promise<Answer>;
  readonly cachedTokens: number | undefined;
  readonly queuedAhead: number | undefined;
}

interface Open {
  readonly answer: Answer;
  readonly done: PromiseWithResolvers<Answer>;
  readonly taken: PromiseWithResolvers<void>;
}

/** Listens to an engine and keeps everything. */
export class EngineClient {
  readonly engine: MeasuredEngine;
  readonly notices: KvNotice[] = [];
  readonly metrics: StepMetrics[] = [];
  readonly failures: Error[] = [];
  /** Hashes that are stored and not removed. */
  readonly stored = new Set<bigint>();
  readonly #open = new Map<number, Open>();
  #nextId = 1;

  constructor(engine: MeasuredEngine) {
    this.engine = engine;
    engine.listen({
      onStep: (step) => this.#take(step),
      onAdmitted: (id) => this.#open.get(id)!.taken.resolve(),
      onRefused: (id, error) => {
        this.#open.get(id)!.taken.reject(error);
        this.#open.delete(id);
      },
      onKv: (notice) => this.#note(notice),
      onFailure: (error) => void this.failures.push(error),
    });
  }

  tokens(prompt: string | Uint32Array): Uint32Array {
    return typeof prompt === "string" ? requireAbility(this.engine, "text").tokenize(prompt) : prompt;
  }

  /** Submits and returns the id and what will come of it. */
  start(ask: Ask): Started {
    const { prompt, sampling, stopping, ...rest } = ask;
    const id = this.#nextId++;
    const admission = this.engine.submit({
      kind: "generate",
      id,
      promptTokens: this.tokens(prompt),
      generatedTokens: new Uint32Array(),
      choice: 0,
      guidance: undefined,
      topLogprobs: undefined,
      promptLogprobs: false,
      adapter: undefined,
      cacheSalt: "",
      priority: 0,
      ...rest,
      sampling: { ...GREEDY, ...sampling },
      stopping: { maxTokens: 40, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(), ...stopping },
    });
    const { done, taken } = this.#expect(id);
    // Whoever waits for the end hears of a refusal as well.
    taken.promise.catch((error) => done.reject(error));
    done.promise.catch(() => {});
    const promises = { id, taken: taken.promise, done: done.promise };
    if (admission === "later") return { ...promises, cachedTokens: undefined, queuedAhead: undefined };
    taken.resolve();
    return { ...promises, ...admission };
  }

  async ask(ask: Ask): Promise<Answer> {
    return this.start(ask).done;
  }

  embed(prompt: string, options: { normalize?: boolean; pooling?: "mean" | "last" | "cls" } = {}): Promise<Answer> {
    const id = this.#nextId++;
    const { normalize = true, pooling } = options;
    requireAbility(this.engine, "embeddings").submit({
      kind: "embed",
      id,
      promptTokens: this.tokens(prompt),
      pooling,
      normalize,
    });
    return this.#expect(id).done.promise;
  }

  text(tokens: readonly number[]): string {
    const { piece } = requireAbility(this.engine, "text");
    return Buffer.concat(tokens.map((token) => piece(token))).toString("utf8");
  }

  #expect(id: number): Open {
    const scores = { chosen: [], top: [] };
    const answer = { tokens: [], chosen: [], top: [], scores, embedding: undefined } as Omit<
      Answer,
      "finish"
    > as Answer;
    const open = { answer, done: Promise.withResolvers<Answer>(), taken: Promise.withResolvers<void>() };
    this.#open.set(id, open);
    return open;
  }

  #of(id: number): Answer {
    const open = this.#open.get(id);
    if (!open) throw new Error(`Something came for ${id}, which is not open`);
    return open.answer;
  }

  #take(step: EngineStep): void {
    this.metrics.push({ ...step.metrics });
    for (const logprobs of step.promptLogprobs) this.#takeScores(logprobs);
    let offset = 0;
    for (const [at, id] of step.ids.entries()) {
      const count = step.counts?.[at] ?? 1;
      this.#of(id).tokens.push(...step.tokens.subarray(offset, offset + count));
      offset += count;
    }
    for (const logprobs of step.logprobs) readLogprobs(logprobs, this.#of(logprobs.id));
    for (const { id, values } of step.embeddings) this.#of(id).embedding = values.slice();
    for (const finish of step.finishes) {
      const answer = Object.assign(this.#of(finish.id), { finish });
      this.#open.get(finish.id)!.done.resolve(answer);
      this.#open.delete(finish.id);
    }
  }

  #takeScores(logprobs: EnginePromptLogprobs): void {
    const { scores, tokens } = this.#of(logprobs.id);
    if (logprobs.position !== scores.chosen.length + 1) throw new Error("A prompt's tokens were not scored in order");
    if (tokens.length > 0) throw new Error("A prompt was scored after its answer began");
    readLogprobs(logprobs, scores);
  }

  #note(notice: KvNotice): void {
    this.notices.push(notice);
    if (notice.kind === "cleared") {
      this.stored.clear();
      return;
    }
    for (const hash of notice.hashes) {
      const isStored = this.stored.has(hash);
      if (isStored === (notice.kind === "stored")) throw new Error(`A block was ${notice.kind} twice`);
      if (notice.kind === "stored") this.stored.add(hash);
      else this.stored.delete(hash);
    }
  }
}

/** The names of the whole blocks of a text. */
export function sequenceHashes(tokens: Uint32Array, blockTokens: number, salt = ""): BigUint64Array {
  const hashes = new BigUint64Array(Math.floor(tokens.length / blockTokens));
  new TokenHasher().hashBlocks(tokens, blockTokens, hashSeed(salt, undefined), hashes.slice(), hashes);
  return hashes;
}

/** How many of so many tokens an engine keeps for later requests. */
export function reusable(client: EngineClient, tokens: number): number {
  const { reuseTokens } = client.engine.card;
  return Math.floor(tokens / reuseTokens) * reuseTokens;
}

function readLogprobs({ chosen, topTokens, topValues }: EngineLogprobs, into: Pick<Answer, "chosen" | "top">): void {
  const width = topTokens.length / chosen.length;
  for (const [at, value] of chosen.entries()) {
    into.chosen.push(value);
    const tokens = [...topTokens.subarray(at * width, (at + 1) * width)];
    into.top.push(tokens.map((token, rank) => ({ token, logprob: topValues[at * width + rank]! })));
  }
}
