import type { Clock } from "#lib/base/clock";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { Scope } from "#lib/host/scope";
import type { BlockStore } from "#lib/transfer/block-store";
import { AdapterTable } from "./adapter-table.ts";
import { BlockTransfer } from "./block-transfer.ts";
import { EmbedQueue } from "./embed-queue.ts";
import type {
  Admission,
  EmbedRequest,
  EngineAdapters,
  EngineCache,
  EngineEmbeddings,
  EngineListener,
  EngineRequest,
  EngineStep,
  EngineText,
  GenerateRequest,
  LoadedAdapter,
  SizedCard,
  SizedEngine,
} from "./engine.ts";
import type { Executor, ModelText } from "./executor.ts";
import { GrammarCache } from "./grammar-cache.ts";
import { checkRequest } from "./schedule/check-request.ts";
import type { KvAccount } from "./schedule/kv-account.ts";
import type { SchedulerOptions } from "./schedule/options.ts";
import type { StepOutcome } from "./schedule/plan.ts";
import { Scheduler } from "./schedule/scheduler.ts";

/** What a scheduled engine is made of. It owns the executor. */
export interface ScheduledEngineOptions {
  /** What it says of itself. */
  readonly card: SizedCard;
  /** What the scheduler is measured by; it agrees with the card. */
  readonly scheduler: SchedulerOptions;
  /** What computes; it was not started yet. */
  readonly executor: Executor;
  /** How the model writes text. Borrowed. */
  readonly text: ModelText;
  /** Most tokens of one input to embed. */
  readonly embedTokens: number;
  /** Steps begin at its ends of turns: requests of one turn share one. */
  readonly clock: Clock;
  /** Told of what fails in the background. */
  readonly log: Log;
  /**
   * A step begins at the end of the turn in which the one before ended, so that requests which come at that moment share
   * it; else it begins at once, so that the engine never waits for whoever is told.
   */
  readonly startsNextTurn?: boolean;
}

const EMBED_BATCH_INPUTS = 32;

/** An engine whose decisions are the scheduler's and whose work is an executor's. */
export class ScheduledEngine implements SizedEngine {
  readonly card: SizedCard;
  readonly text: EngineText;
  readonly adapters: EngineAdapters | undefined;
  readonly blocks: BlockStore | undefined;
  readonly embeddings: EngineEmbeddings | undefined;
  readonly cache: EngineCache;
  /** What `blocks` is made of. */
  readonly #transfer: BlockTransfer | undefined;
  readonly #scheduler: Scheduler;
  readonly #executor: Executor;
  readonly #text: ModelText;
  readonly #embedTokens: number;
  readonly #adapters: AdapterTable;
  readonly #grammars = new GrammarCache();
  readonly #embeds: EmbedQueue;
  readonly #maxWaiting: number;
  readonly #startsNextTurn: boolean;
  readonly #clock: Clock;
  readonly #scope: Scope;
  #listener: EngineListener | undefined;
  #failure: StatorError | undefined;
  #isClosed = false;
  #willPump = false;
  /** What runs as soon as no op of the KV space waits. */
  #afterOps: { readonly run: () => void; readonly reject: (error: StatorError) => void }[] = [];
  #unused: { readonly adapter: string; readonly resolve: () => void }[] = [];

  constructor(options: ScheduledEngineOptions) {
    const { card, executor } = options;
    this.card = card;
    this.#executor = executor;
    this.#text = options.text;
    this.#embedTokens = options.embedTokens;
    this.#maxWaiting = options.scheduler.maxWaiting;
    this.#clock = options.clock;
    this.#startsNextTurn = options.startsNextTurn ?? false;
    this.#scheduler = new Scheduler(options.scheduler);
    this.#scope = new Scope("engine", options.log);
    this.#scope.own("executor", executor);
    this.#adapters = new AdapterTable(executor);
    this.#embeds = new EmbedQueue({
      embed: (requests) => executor.embed(requests),
      batch: { inputs: EMBED_BATCH_INPUTS, tokens: options.embedTokens },
      listener: {
        onEmbedding: (request, values) => {
          this.#scheduler.delivery.addEmbedding(request.id, values);
          this.#finishEmbed(request, "done");
        },
        onFailed: (request, error) => this.#finishEmbed(request, "failed", error),
        onBatch: () => this.#pump(),
      },
    });
    const { lora, kvBlocks, embed } = card.capabilities;
    this.text = { tokenize: (text) => this.#tokenize(text), piece: (token) => this.#text.piece(token) };
    this.adapters = lora ? this.#createAdapters() : undefined;
    this.#transfer = kvBlocks ? this.#createBlocks() : undefined;
    this.blocks = this.#transfer;
    this.cache = { clear: () => this.#clearCache() };
    this.embeddings = embed ? { submit: (request) => this.#submitEmbed(request) } : undefined;
    executor.start({
      onOutcome: (outcome) => this.#apply(outcome),
      onFailure: (error) => this.#fail(error),
    });
  }

  #createAdapters(): EngineAdapters {
    return {
      load: async (name, path) => {
        this.#checkOpen();
        return this.#adapters.load(name, path);
      },
      unload: (name) => this.#unloadAdapter(name),
      list: () => this.#adapters.list(),
    };
  }

  #createBlocks(): BlockTransfer {
    return new BlockTransfer({
      executor: this.#executor,
      scheduler: this.#scheduler,
      checkOpen: () => this.#checkOpen(),
      hasAdapter: (name) => this.#adapters.has(name),
      afterOps: (run) => this.#whenOpsRan(run),
      onChange: () => this.#wake(),
    });
  }

  listen(listener: EngineListener): void {
    assert(!this.#listener, "an engine has one listener");
    this.#listener = listener;
  }

  submit(request: GenerateRequest): Admission {
    this.#check(request, this.card.contextTokens);
    this.#checkFeatures(request);
    const admission = this.#scheduler.submit(request, this.#grammarOf(request));
    this.#executor.cut?.();
    this.#wake();
    return admission;
  }

  #submitEmbed(request: EmbedRequest): Admission {
    this.#check(request, this.#embedTokens);
    if (this.#embeds.waiting >= this.#maxWaiting) throw new StatorError("OVERLOADED", { what: "waiting inputs" });
    const queuedAhead = this.#embeds.size;
    this.#embeds.add(request);
    this.#wake();
    return { cachedTokens: 0, queuedAhead };
  }

  #check(request: EngineRequest, contextTokens: number): void {
    this.#checkOpen();
    const { model } = this.card;
    checkRequest(request, { model, contextTokens, vocabularySize: this.#text.vocabularySize });
    if (this.#embeds.has(request.id)) throw new StatorError("INVALID_ARGUMENT", { detail: "The id is in use" });
  }

  #checkFeatures(request: GenerateRequest): void {
    const { capabilities } = this.card;
    const { adapter, topLogprobs, promptLogprobs } = request;
    if (adapter !== undefined && !this.#adapters.has(adapter)) {
      throw new StatorError("MODEL_NOT_FOUND", { model: adapter });
    }
    if (topLogprobs !== undefined && !capabilities.logprobs) this.#refuse("logprobs", "Log-probabilities");
    if (topLogprobs !== undefined && topLogprobs > (capabilities.maxTopLogprobs ?? 0)) {
      const detail = `At most ${capabilities.maxTopLogprobs} log-probabilities per token`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    if (promptLogprobs && !capabilities.promptLogprobs) {
      this.#refuse("promptLogprobs", "Log-probabilities of the prompt");
    }
  }

  #grammarOf({ guidance }: GenerateRequest): string | undefined {
    if (guidance === undefined) return undefined;
    if (!this.card.capabilities.grammar) this.#refuse("grammar", "A grammar");
    const grammar = this.#grammars.compile(guidance);
    this.#executor.checkGrammar(grammar);
    return grammar;
  }

  #refuse(name: string, feature: string): never {
    throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail: this.card.capabilities.missing[name] });
  }

  #checkOpen(): void {
    if (this.#failure) throw this.#failure;
    if (this.#isClosed) throw new StatorError("ENGINE_FAILED", { detail: "it has been closed" });
  }

  cancel(ids: readonly number[], mode: "stop" | "kill"): void {
    const step = this.#scheduler.cancel(ids, mode);
    if (step === undefined) this.#executor.cut?.();
    else this.#executor.abort(step);
    for (const id of ids) {
      const request = this.#embeds.cancel(id);
      if (request) this.#finishEmbed(request, "cancelled");
    }
    this.#wake();
  }

  /** Changes the books of its blocks, whose bytes nobody has, and tells what came of it at the end of the turn. */
  account<Result>(change: (kv: KvAccount) => Result): Result {
    this.#checkOpen();
    const result = change(this.#scheduler.kv);
    this.#executor.cut?.();
    this.#wake();
    return result;
  }

  #clearCache() {
    this.#checkOpen();
    const counts = this.#scheduler.kv.forget();
    this.#wake();
    return counts;
  }

  #tokenize(text: string): Uint32Array {
    this.#checkOpen();
    return this.#text.tokenize(text);
  }

  async #unloadAdapter(name: string): Promise<LoadedAdapter> {
    const adapter = await this.#adapters.unload(name, () => this.#whenUnused(name));
    // Another file may come under this name: nothing that this one computed may be found then.
    this.#scheduler.kv.retire(name);
    this.#wake();
    return adapter;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#giveUp(new StatorError("ENGINE_FAILED", { detail: "it has been closed" }));
    await this.#scope.close();
  }

  /** Nothing that waits for the executor will come to pass. */
  #giveUp(error: StatorError): void {
    for (const { reject } of this.#afterOps.splice(0)) reject(error);
    for (const { resolve } of this.#unused.splice(0)) resolve();
  }

  /** Plans and tells at the end of the turn, so that requests of one turn share a step and no call comes from inside one. */
  #wake(): void {
    if (this.#willPump) return;
    this.#willPump = true;
    this.#clock.soon(() => {
      this.#willPump = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#isClosed || this.#failure) return;
    try {
      this.#submitPlans();
      this.#tell(this.#scheduler.flush());
    } catch (caught) {
      this.#fail(asStatorError(caught));
    }
  }

  #submitPlans(): void {
    const { kv } = this.#scheduler;
    for (;;) {
      const plan = this.#scheduler.plan({ flush: this.#afterOps.length > 0 });
      if (!plan) break;
      this.#executor.submit(plan);
    }
    while (!kv.space.hasOps && this.#afterOps.length > 0) this.#afterOps.shift()!.run();
    const embedding = this.#embeds.next();
    if (embedding) this.#scope.spawn("embed", () => embedding);
  }

  #apply(outcome: StepOutcome): void {
    if (this.#isClosed || this.#failure) return;
    try {
      this.#transfer?.onStep(outcome);
      const step = this.#scheduler.apply(outcome);
      // The next step starts before anybody is told of this one.
      if (this.#startsNextTurn && !outcome.isPast) this.#wake();
      else this.#submitPlans();
      this.#tell(step);
    } catch (caught) {
      this.#fail(asStatorError(caught));
    }
  }

  #tell(step: EngineStep | undefined): void {
    for (const notice of this.#scheduler.kv.takeNotices()) this.#listener?.onKv(notice);
    if (!step) return;
    this.#listener?.onStep(step);
    if (step.finishes.length === 0 || this.#unused.length === 0) return;
    const unused = this.#unused.filter(({ adapter }) => this.#scheduler.countOpen(adapter) === 0);
    this.#unused = this.#unused.filter((waiter) => !unused.includes(waiter));
    for (const { resolve } of unused) resolve();
  }

  #fail(error: StatorError): void {
    if (this.#isClosed || this.#failure) return;
    this.#failure = error;
    this.#giveUp(error);
    this.#listener?.onFailure(error);
  }

  #finishEmbed(request: EmbedRequest, reason: "done" | "cancelled" | "failed", error?: StatorError): void {
    this.#scheduler.delivery.addFinish({
      id: request.id,
      reason,
      stopToken: undefined,
      promptTokens: request.promptTokens.length,
      cachedTokens: 0,
      completionTokens: 0,
      error,
    });
  }

  #whenOpsRan<Result>(run: () => Promise<Result>): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#afterOps.push({ run: () => resolve(run()), reject });
    this.#wake();
    return promise;
  }

  #whenUnused(adapter: string): Promise<void> {
    if (this.#scheduler.countOpen(adapter) === 0) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#unused.push({ adapter, resolve });
    return promise;
  }
}
