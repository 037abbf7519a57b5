import { assert, StatorError } from "#lib/base/errors";
import type {
  Admission,
  Engine,
  EngineAdapters,
  EngineCard,
  EngineEmbeddings,
  EngineFinish,
  EngineListener,
  EngineLogprobs,
  EnginePromptLogprobs,
  EngineRequest,
  EngineStanding,
  EngineStep,
  EngineText,
  GenerateRequest,
  KvNotice,
  LoadedAdapter,
  StepMetrics,
} from "#lib/engines/engine";
import { compileGuidance } from "#lib/text/grammar/guidance";

/** What one step of a fake engine makes. */
export interface FakeStep {
  /** Tokens by request id. */
  readonly tokens?: Readonly<Record<number, readonly number[]>>;
  readonly texts?: EngineStep["texts"];
  readonly finishes?: readonly (Partial<EngineFinish> & Pick<EngineFinish, "id" | "reason">)[];
  readonly logprobs?: readonly EngineLogprobs[];
  readonly promptLogprobs?: readonly EnginePromptLogprobs[];
  readonly embeddings?: readonly { readonly id: number; readonly values: Float32Array }[];
  readonly metrics?: Partial<StepMetrics>;
}

const CARD: EngineCard = {
  engine: "fake",
  software: { name: "fake", version: "1.0" },
  model: "fake-model",
  contextTokens: 512,
  blockTokens: 16,
  reuseTokens: 16,
  totalBlocks: 64,
  maxRunningRequests: 8,
  maxWaitingRequests: 8,
  hashScheme: "fake",
  quantization: "none",
  modelDigest: new Uint8Array(32),
  input: "tokens",
  capabilities: {
    generate: true,
    embed: true,
    grammar: true,
    logprobs: true,
    promptLogprobs: true,
    lora: true,
    kvBlocks: false,
    mock: true,
    embeddingSize: 4,
    maxTopLogprobs: 5,
    missing: { kvBlocks: "a fake engine keeps no blocks" },
  },
  deterministic: "batch",
  defaultSampling: {},
  artifacts: [],
  layout: undefined,
  times: undefined,
  facts: [],
};

/** Load of an engine that has nothing to do. */
export const IDLE: StepMetrics = {
  step: 0,
  durationUs: 1000,
  prefillTokens: 0,
  prefillContextTokens: 0,
  decodeSequences: 0,
  decodeContextTokens: 0,
  usedBlocks: 0,
  totalBlocks: 64,
  runningRequests: 0,
  waitingRequests: 0,
  waitingTokens: 0,
  exportUs: 0,
  importUs: 0,
};

/** An engine that a test drives by hand: it notes what is asked of it, and steps when told. */
export class FakeEngine implements Engine {
  readonly card: EngineCard;
  text: EngineText | undefined = {
    tokenize: (text) => Uint32Array.from(Buffer.from(text)),
    piece: (token) => Uint8Array.of(token),
  };
  readonly adapters: EngineAdapters | undefined;
  readonly embeddings: EngineEmbeddings | undefined;
  /** Open requests by id. */
  readonly open = new Map<number, EngineRequest>();
  readonly cancels: { readonly ids: readonly number[]; readonly mode: string }[] = [];
  /** Set to refuse the next requests. */
  refuse: StatorError | undefined;
  /** Set to leave the answer to the next requests to `admit` and `refuseLate`. */
  answersLater = false;
  /** Set to hold unloads back until it resolves. */
  unused: Promise<void> | undefined;
  closed = false;
  /** Hears of each request that it takes. */
  onSubmit: ((request: EngineRequest) => void) | undefined;
  #listener: EngineListener | undefined;
  #steps = 0;

  constructor(card: Partial<EngineCard> = {}) {
    this.card = { ...CARD, ...card };
    const { lora, embed } = this.card.capabilities;
    this.adapters = lora ? this.#createAdapters() : undefined;
    this.embeddings = embed ? { submit: (request) => this.#take(request) } : undefined;
  }

  listen(listener: EngineListener): void {
    assert(!this.#listener, "an engine has one listener");
    this.#listener = listener;
  }

  /** Ids of open requests in order. */
  get ids(): number[] {
    return [...this.open.keys()];
  }

  submit(request: GenerateRequest): Admission | "later" {
    return this.#take(request);
  }

  #take(request: EngineRequest): Admission | "later" {
    if (this.refuse) throw this.refuse;
    if (request.kind === "generate" && request.guidance) compileGuidance(request.guidance);
    assert(!this.open.has(request.id), "ids of open requests differ");
    this.open.set(request.id, request);
    this.onSubmit?.(request);
    return this.answersLater ? "later" : { cachedTokens: 0, queuedAhead: this.open.size - 1 };
  }

  admit(id: number): void {
    this.#listener?.onAdmitted?.(id, { cachedTokens: 0, queuedAhead: 0 });
  }

  refuseLate(id: number, error: StatorError): void {
    this.open.delete(id);
    this.#listener?.onRefused?.(id, error);
  }

  #createAdapters(): EngineAdapters {
    const loaded = new Map<string, LoadedAdapter>();
    return {
      load: async (name, path) => {
        const known = loaded.get(name);
        if (known && known.path !== path) throw new StatorError("ALREADY_EXISTS", { what: name });
        const adapter = known ?? { name, path, digest: new Uint8Array(32) };
        loaded.set(name, adapter);
        return { adapter, alreadyLoaded: known !== undefined };
      },
      unload: async (name) => {
        const adapter = loaded.get(name);
        if (!adapter) throw new StatorError("NOT_FOUND", { what: name });
        loaded.delete(name);
        await this.unused;
        return adapter;
      },
      list: () => [...loaded.values()],
    };
  }

  cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    this.cancels.push({ ids: [...ids], mode });
  }

  /** Ends what was cancelled, as an engine does at its next step. */
  finishCancelled(): void {
    const ids = [...new Set(this.cancels.flatMap((cancel) => cancel.ids))].filter((id) => this.open.has(id));
    this.step({ finishes: ids.map((id) => ({ id, reason: "cancelled" as const })) });
  }

  step({
    tokens = {},
    texts,
    finishes = [],
    logprobs = [],
    promptLogprobs = [],
    embeddings = [],
    metrics,
  }: FakeStep): void {
    const entries = Object.entries(tokens);
    for (const { id } of finishes) this.open.delete(id);
    this.#listener?.onStep({
      metrics: { ...IDLE, step: ++this.#steps, runningRequests: this.open.size, ...metrics },
      ids: Uint32Array.from(entries.map(([id]) => Number(id))),
      counts: Uint8Array.from(entries.map(([, list]) => list.length)),
      tokens: Uint32Array.from(entries.flatMap(([, list]) => list)),
      texts,
      finishes: finishes.map((finish) => ({
        stopToken: undefined,
        promptTokens: 1,
        cachedTokens: 0,
        completionTokens: 0,
        error: undefined,
        ...finish,
      })),
      logprobs,
      promptLogprobs,
      embeddings,
    });
  }

  kv(notice: KvNotice): void {
    this.#listener?.onKv(notice);
  }

  /** Takes nothing for now, or takes requests again. */
  stand(standing: EngineStanding): void {
    this.#listener?.onStanding?.(standing);
  }

  fail(error: StatorError): void {
    this.#listener?.onFailure(error);
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
