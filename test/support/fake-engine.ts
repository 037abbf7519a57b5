import { assert, StatorError } from "#lib/base/errors";
import type {
  Admission,
  Engine,
  EngineCard,
  EngineFinish,
  EngineListener,
  EngineLogprobs,
  EnginePromptLogprobs,
  EngineRequest,
  KvNotice,
  LoadedAdapter,
  StepMetrics,
} from "#lib/engines/engine";
import { compileGuidance } from "#lib/text/grammar/guidance";

/** What one step of a fake engine makes. */
export interface FakeStep {
  /** Tokens by request id. */
  readonly tokens?: Readonly<Record<number, readonly number[]>>;
  readonly finishes?: readonly (Partial<EngineFinish> & Pick<EngineFinish, "id" | "reason">)[];
  readonly logprobs?: readonly EngineLogprobs[];
  readonly promptLogprobs?: readonly EnginePromptLogprobs[];
  readonly embeddings?: readonly { readonly id: number; readonly values: Float32Array }[];
  readonly metrics?: Partial<StepMetrics>;
}

const CARD: EngineCard = {
  engine: "fake",
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
  /** Open requests by id. */
  readonly open = new Map<number, EngineRequest>();
  readonly cancels: { readonly ids: readonly number[]; readonly mode: string }[] = [];
  /** Set to refuse the next requests. */
  refuse: StatorError | undefined;
  /** Set to hold unloads back until it resolves. */
  unused: Promise<void> | undefined;
  closed = false;
  /** Hears of each request that it takes. */
  onSubmit: ((request: EngineRequest) => void) | undefined;
  readonly #adapters = new Map<string, LoadedAdapter>();
  #listener: EngineListener | undefined;
  #steps = 0;

  constructor(card: Partial<EngineCard> = {}) {
    this.card = { ...CARD, ...card };
  }

  listen(listener: EngineListener): void {
    assert(!this.#listener, "an engine has one listener");
    this.#listener = listener;
  }

  /** Ids of open requests in order. */
  get ids(): number[] {
    return [...this.open.keys()];
  }

  submit(request: EngineRequest): Admission {
    if (this.refuse) throw this.refuse;
    if (request.kind === "generate" && request.guidance) compileGuidance(request.guidance);
    assert(!this.open.has(request.id), "ids of open requests differ");
    this.open.set(request.id, request);
    this.onSubmit?.(request);
    return { cachedTokens: 0, queuedAhead: this.open.size - 1 };
  }

  cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    this.cancels.push({ ids: [...ids], mode });
  }

  /** Ends what was cancelled, as an engine does at its next step. */
  finishCancelled(): void {
    const ids = [...new Set(this.cancels.flatMap((cancel) => cancel.ids))].filter((id) => this.open.has(id));
    this.step({ finishes: ids.map((id) => ({ id, reason: "cancelled" as const })) });
  }

  step({ tokens = {}, finishes = [], logprobs = [], promptLogprobs = [], embeddings = [], metrics }: FakeStep): void {
    const entries = Object.entries(tokens);
    for (const { id } of finishes) this.open.delete(id);
    this.#listener?.onStep({
      metrics: { ...IDLE, step: ++this.#steps, runningRequests: this.open.size, ...metrics },
      ids: Uint32Array.from(entries.map(([id]) => Number(id))),
      counts: Uint8Array.from(entries.map(([, list]) => list.length)),
      tokens: Uint32Array.from(entries.flatMap(([, list]) => list)),
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

  fail(error: StatorError): void {
    this.#listener?.onFailure(error);
  }

  tokenize(text: string): Uint32Array {
    return Uint32Array.from(Buffer.from(text));
  }

  piece(token: number): Uint8Array {
    return Uint8Array.of(token);
  }

  async loadAdapter(name: string, path: string): Promise<{ adapter: LoadedAdapter; alreadyLoaded: boolean }> {
    const known = this.#adapters.get(name);
    if (known && known.path !== path) throw new StatorError("ALREADY_EXISTS", { what: name });
    const adapter = known ?? { name, path, digest: new Uint8Array(32) };
    this.#adapters.set(name, adapter);
    return { adapter, alreadyLoaded: known !== undefined };
  }

  async unloadAdapter(name: string): Promise<LoadedAdapter> {
    const adapter = this.#adapters.get(name);
    if (!adapter) throw new StatorError("NOT_FOUND", { what: name });
    this.#adapters.delete(name);
    await this.unused;
    return adapter;
  }

  adapters(): readonly LoadedAdapter[] {
    return [...this.#adapters.values()];
  }

  exportBlocks(): Promise<Uint8Array[]> {
    return Promise.reject(new StatorError("UNSUPPORTED_FEATURE", { feature: "blocks", detail: "it is fake" }));
  }

  importBlocks(): Promise<number> {
    return Promise.reject(new StatorError("UNSUPPORTED_FEATURE", { feature: "blocks", detail: "it is fake" }));
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
