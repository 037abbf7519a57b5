import { assert, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { type Context, END, ENTRY, type Sampling, type StepResult } from "#lib/native/context";
import type { Model, Vocab } from "#lib/native/llama";
import type { BlockStaging } from "#lib/transfer/block-store";
import type { EmbedRequest } from "../engine.ts";
import type { BlocksPlace, Executor, ExecutorListener, ReadBlocks, WrittenBlocks } from "../executor.ts";
import { digestFile } from "../model-file.ts";
import type { PlanEntry, StepPlan } from "../schedule/plan.ts";
import type { Sequence } from "../schedule/sequence.ts";
import { MOST_SLICE_BLOCKS } from "../slices.ts";
import { fromNativeError } from "./native-errors.ts";
import { type Refusals, toOutcome } from "./outcome.ts";

/** The base model, in a plan of the addon. */
const NO_ADAPTER = -1;

/** Executes plans with llama.cpp. It owns the model, its vocabulary and its context. */
export class LlamaExecutor implements Executor {
  readonly #model: Model;
  readonly #vocab: Vocab;
  readonly #modelPath: string;
  readonly #blockTokens: number;
  readonly #isOnCuda: boolean;
  readonly #log: Log;
  readonly #plans: StepPlan[] = [];
  readonly #refusals: Refusals = new WeakMap();
  readonly #adapters = new Map<string, number>();
  #context: Context | undefined;
  #listener: ExecutorListener | undefined;

  constructor(options: {
    readonly model: Model;
    readonly vocab: Vocab;
    readonly modelPath: string;
    readonly blockTokens: number;
    /** A device of CUDA keeps blocks. */
    readonly isOnCuda: boolean;
    readonly log: Log;
  }) {
    this.#model = options.model;
    this.#vocab = options.vocab;
    this.#modelPath = options.modelPath;
    this.#blockTokens = options.blockTokens;
    this.#isOnCuda = options.isOnCuda;
    this.#log = options.log;
  }

  /** Hands the context over; once, before the first plan. It must call `onStep` with its results. */
  attach(context: Context): void {
    this.#context = context;
  }

  /** Takes a result of the context. */
  onStep(result: StepResult): void {
    const plan = this.#plans.shift();
    assert(plan && plan.step === result.step, "results come in the order of their plans");
    if (result.status === "error") {
      const detail = result.errors.find(({ slot }) => slot < 0)?.message.replace(/\.$/, "") ?? "it gave no reason";
      this.#listener?.onFailure(new StatorError("ENGINE_FAILED", { detail }));
      return;
    }
    if (result.errors.length > 0) this.#logOps(result);
    this.#listener?.onOutcome(toOutcome(plan, result, this.#refusals));
  }

  /** An op that failed is a bug of ours; whoever needed it fails in its own entry. */
  #logOps({ step, slots, ends, errors }: StepResult): void {
    for (const { slot, message } of errors) {
      const entry = slots.indexOf(slot);
      if (entry < 0 || ends[entry] !== END.error) this.#log.error("cache op failed", { step, slot, message });
    }
  }

  start(listener: ExecutorListener): void {
    this.#listener = listener;
  }

  get #open(): Context {
    assert(this.#context, "a context is attached before the first call");
    return this.#context;
  }

  submit(plan: StepPlan): void {
    const context = this.#open;
    for (const slot of plan.closes) context.closeSequence(slot);
    for (const sequence of plan.opens) this.#openSequence(context, sequence);
    const { entries } = plan;
    const slots = new Int32Array(entries.length);
    const positions = new Int32Array(entries.length);
    const counts = new Int32Array(entries.length);
    const flags = new Uint8Array(entries.length);
    const targets: number[] = [];
    let supplied = 0;
    for (const [at, entry] of entries.entries()) {
      const { sequence, start, count, draws, chained, scores } = entry;
      slots[at] = sequence.slot;
      positions[at] = start;
      counts[at] = count;
      flags[at] = (draws > 0 ? ENTRY.sample : 0) | (chained ? ENTRY.chained : 0) | (scores > 0 ? ENTRY.score : 0);
      if (scores > 0) targets.push(...targetsOf(entry));
      supplied += chained ? 0 : count;
    }
    const tokens = new Uint32Array(supplied);
    let offset = 0;
    for (const { sequence, start, count, chained } of entries) {
      if (chained) continue;
      tokens.set(sequence.chain.tokens(start, start + count), offset);
      offset += count;
    }
    const adapter = plan.adapter === undefined ? NO_ADAPTER : this.#adapters.get(plan.adapter);
    assert(adapter !== undefined, "an adapter stays loaded while requests of it run");
    const parts = { slots, positions, counts, flags, tokens, targets: Int32Array.from(targets) };
    context.submitStep({ step: plan.step, adapter, ops: plan.ops, ...parts });
    this.#plans.push(plan);
  }

  /** What the addon refuses fails alone: its slot stays closed, so its first draw ends it with this error. */
  #openSequence(context: Context, sequence: Sequence): void {
    try {
      context.openSequence(sequence.slot, samplingOf(sequence));
    } catch (caught) {
      const { reason, message } = fromNativeError(caught, this.#modelPath);
      if (reason !== "INVALID_ARGUMENT") throw caught;
      const detail = message.replace(/\.$/, "");
      const isGrammar = sequence.grammar !== undefined;
      this.#refusals.set(sequence, new StatorError(isGrammar ? "INVALID_GRAMMAR" : reason, { detail }));
    }
  }

  abort(step: number): void {
    this.#open.abortStep(step);
  }

  async readBlocks({ slot, index }: BlocksPlace, into: readonly Uint8Array[]): Promise<ReadBlocks> {
    return this.#call(this.#open.exportBlocks(slot, index * this.#blockTokens, into));
  }

  async writeBlocks(
    { slot, index }: BlocksPlace,
    from: readonly Uint8Array[],
    checksums: BigUint64Array | undefined,
  ): Promise<WrittenBlocks> {
    return this.#call(this.#open.importBlocks(slot, index * this.#blockTokens, from, checksums));
  }

  get staging(): BlockStaging {
    const context = this.#open;
    return {
      device: this.#isOnCuda ? "cuda" : "other",
      sizeBytes: context.stagingBytes(this.#blockTokens, MOST_SLICE_BLOCKS),
      use: (memory) => this.#call(context.stage(memory)),
    };
  }

  async embed(requests: readonly EmbedRequest[]): Promise<readonly Float32Array[]> {
    const { pooling, normalize } = requests[0]!;
    const inputs = requests.map((request) => request.promptTokens);
    return this.#call(this.#open.embed(inputs, { normalize, ...(pooling && { pooling }) }));
  }

  async loadAdapter(name: string, path: string): Promise<Uint8Array> {
    const digest = await digestFile(path);
    try {
      this.#adapters.set(name, await this.#model.loadAdapter(path));
    } catch (caught) {
      throw fromNativeError(caught, path);
    }
    return digest;
  }

  unloadAdapter(name: string): void {
    const adapter = this.#adapters.get(name);
    assert(adapter !== undefined, "an adapter is unloaded once");
    this.#adapters.delete(name);
    this.#model.unloadAdapter(adapter);
  }

  checkGrammar(): void {}

  async close(): Promise<void> {
    this.#context?.close();
    this.#vocab.close();
    this.#model.close();
  }

  async #call<Result>(promise: Promise<Result>): Promise<Result> {
    try {
      return await promise;
    } catch (caught) {
      throw fromNativeError(caught, this.#modelPath);
    }
  }
}

/** The token after each of an entry's, where its log-probability is asked for; -1 elsewhere. */
function targetsOf({ sequence, start, count, scoreStart, scores }: PlanEntry): number[] {
  return Array.from({ length: count }, (_, row) => {
    const next = start + row + 1;
    return next >= scoreStart && next < scoreStart + scores ? sequence.chain.at(next) : -1;
  });
}

/** What the addon has to know to draw a sequence's tokens, from where it is now. */
function samplingOf({ request, chain, generated, grammar }: Sequence): Sampling {
  const { sampling, stopping } = request;
  const { biasTokens, biasValues } = sampling;
  return {
    temperature: sampling.temperature,
    topK: sampling.topK,
    topP: sampling.topP,
    minP: sampling.minP,
    repetitionPenalty: sampling.repetitionPenalty,
    frequencyPenalty: sampling.frequencyPenalty,
    presencePenalty: sampling.presencePenalty,
    seed: sampling.seed,
    choice: request.choice,
    firstPosition: generated,
    stopTokens: stopping.stopTokens,
    ignoreEos: stopping.ignoreEos,
    minTokens: stopping.minTokens,
    maxTokens: stopping.maxTokens,
    logprobs: request.topLogprobs ?? -1,
    ...(biasTokens.length > 0 && { logitBias: { ids: biasTokens, values: biasValues } }),
    ...(grammar !== undefined && { grammar }),
    ...(sampling.repetitionPenalty !== 1 && { promptTokens: request.promptTokens }),
    ...(generated > 0 && { generatedTokens: chain.tokens(request.promptTokens.length) }),
  };
}
