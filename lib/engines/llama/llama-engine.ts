import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { SaidSampling } from "#lib/base/sampling-settings";
import type { Log } from "#lib/host/log";
import { readMachine } from "#lib/host/machine";
import { loadNative, type NativeAddon } from "#lib/native/addon";
import type { Context, KvType } from "#lib/native/context";
import type { LlamaOptions as LibraryOptions, Llama, Model, Vocab } from "#lib/native/llama";
import { locateLlama } from "#lib/native/location";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { readDefaultSampling } from "../default-sampling.ts";
import type { Engine, EngineCard } from "../engine.ts";
import type { ModelText } from "../executor.ts";
import { digestFile, readModelHeader, textArtifacts } from "../model-file.ts";
import type { SchedulerOptions } from "../schedule/options.ts";
import { SlotMap } from "../schedule/slots.ts";
import { ScheduledEngine } from "../scheduled-engine.ts";
import type { Choice } from "./choice.ts";
import { cellBytesOf, chooseContext } from "./choose-context.ts";
import { chooseSlots } from "./choose-slots.ts";
import { chooseThreads } from "./choose-threads.ts";
import { blockLayout, capabilitiesOf, modelNameOf, quantizationOf, whyNoGpu } from "./llama-card.ts";
import { LlamaExecutor } from "./llama-executor.ts";
import { llamaFacts } from "./llama-facts.ts";
import { fromNativeError } from "./native-errors.ts";

/** How a llama engine is opened. */
export interface LlamaEngineOptions {
  readonly modelPath: string;
  /** Served name; default: that of the file. */
  readonly model?: string;
  /** What an operator says about drawing, before the file. */
  readonly sampling?: SaidSampling;
  readonly clock: Clock;
  readonly log: Log;
  /** Told how much of the model is loaded, 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
  /** Workers that share the machine, this one included; default 1. */
  readonly workers?: number;
  /** Cells of the KV cache, shared by all requests and by cached prefixes; default: as `chooseContext` says. */
  readonly cacheTokens?: number;
  /**
   * Most tokens that stay in the cache when no request uses them. Every step attends over all cells in use, so a small
   * model pays more for what is kept than it saves. Default: everything, but in small models on a CPU what costs an eighth
   * of a decode step.
   */
  readonly retainedTokens?: number;
  /** Most tokens of one sequence; default: what the model was trained for, at most the cache. */
  readonly contextTokens?: number;
  readonly blockTokens?: number;
  /** Default 32; at most 128, so that slots remain for cached prefixes. */
  readonly maxRunning?: number;
  /** Default 1,024. */
  readonly maxWaiting?: number;
  /** Tokens of one step; default 512. */
  readonly maxBatchTokens?: number;
  /** Default: as `chooseThreads` says. */
  readonly threads?: number;
  readonly kvType?: KvType;
  /** Layers on a GPU; default: all when there is one, else none. */
  readonly gpuLayers?: number;
  /** Back ends to try in place of those that are installed; absolute paths. */
  readonly backends?: readonly string[];
  /** Aborts the load. */
  readonly signal?: AbortSignal;
}

const MOST_RUNNING = 128;
const RETAINED_SHARE = 0.125;

/** Opens the libraries. Throws NATIVE_UNAVAILABLE with what to do. */
function openLibrary(options: LlamaEngineOptions): { addon: NativeAddon; llama: Llama } {
  const location = locateLlama();
  if (location.unavailable !== undefined) {
    throw new StatorError("NATIVE_UNAVAILABLE", {
      detail: location.unavailable.replace(/\.$/, ""),
      hint: `Run \`${location.fix}\`.`,
    });
  }
  const native = loadNative();
  if (native.unavailable !== undefined) {
    const detail = native.unavailable.replace(/\.$/, "");
    throw new StatorError("NATIVE_UNAVAILABLE", { detail, hint: `Run \`${native.fix}\`.` });
  }
  const library: LibraryOptions = { ...location.options, ...(options.backends && { backends: options.backends }) };
  try {
    const llama = native.addon.openLlama(library);
    for (const { path, loaded, reason } of llama.backends) {
      options.log.info(loaded ? "back end loaded" : "back end not loaded", { path, reason });
    }
    return { addon: native.addon, llama };
  } catch (caught) {
    throw fromNativeError(caught, library.libDir);
  }
}

async function loadModel(llama: Llama, options: LlamaEngineOptions, gpuLayers: number): Promise<Model> {
  const { modelPath, onProgress, signal } = options;
  try {
    return await llama.loadModel(modelPath, {
      gpuLayers,
      ...(onProgress && { onProgress }),
      ...(signal && { signal }),
    });
  } catch (caught) {
    throw fromNativeError(caught, modelPath);
  }
}

/**
 * How many cached tokens a model can afford to attend over, from the count of operations per token: 2 per parameter, and 4
 * per cell, head dimension, head and layer. Where attending over the whole cache costs less than the weights do,
 * everything; in smaller models, what costs an eighth of the weights.
 */
function affordableTokens(model: Model, cells: number): number {
  const perCell = 4 * model.layers * model.heads * model.headDimK;
  const weights = 2 * model.parameters;
  return perCell * cells <= weights ? cells : Math.floor((RETAINED_SHARE * weights) / perCell);
}

/** What nobody said, chosen for this model on this machine. */
function choose(options: LlamaEngineOptions, model: Model) {
  const { cores, availableBytes } = readMachine();
  const { workers = 1, cacheTokens, threads, kvType = "f16", maxRunning = 32 } = options;
  const said = (value: number): Choice => ({ value, why: "an option" });
  const facts = {
    trainedTokens: model.trainContextTokens,
    cellBytes: cellBytesOf(model, kvType),
    availableBytes,
    workers,
  };
  return {
    cells: cacheTokens === undefined ? chooseContext(facts) : said(cacheTokens),
    threads: threads === undefined ? chooseThreads({ cores, workers, weightBytes: model.sizeBytes }) : said(threads),
    slots: chooseSlots({ maxRunning: Math.min(maxRunning, MOST_RUNNING), vocabularySize: model.vocabSize }),
  };
}

type Choices = ReturnType<typeof choose>;

function schedulerOptions(
  options: LlamaEngineOptions,
  model: Model,
  { gpuLayers, cells: { value: cacheTokens }, slots }: Choices & { readonly gpuLayers: number },
): SchedulerOptions {
  const { blockTokens = 16, maxBatchTokens = 512 } = options;
  const blocks = Math.max(1, Math.floor(cacheTokens / blockTokens));
  const cells = blocks * blockTokens;
  const trained = model.trainContextTokens > 0 ? model.trainContextTokens : cells;
  const batch = Math.min(maxBatchTokens, cells);
  const retained = options.retainedTokens ?? (gpuLayers === 0 ? affordableTokens(model, cells) : cells);
  return {
    blocks,
    blockTokens,
    contextTokens: Math.min(options.contextTokens ?? trained, cells),
    maxRunning: Math.min(options.maxRunning ?? 32, MOST_RUNNING, batch),
    maxWaiting: options.maxWaiting ?? 1024,
    maxBatchTokens: batch,
    tokensPerStep: 1,
    outstandingSteps: 2,
    oneAdapterPerStep: true,
    reusesPrefixes: !model.recurrent && !model.hybrid,
    maxCachedBlocks: Math.ceil(retained / blockTokens),
    chunkTokens: 0,
    space: (pool) => new SlotMap(pool, { slots: slots.value, blockTokens }),
  };
}

function textOf(vocab: Vocab): ModelText {
  const { bytes, offsets } = vocab.pieceTable();
  return {
    vocabularySize: vocab.size,
    tokenize: (text) => vocab.tokenize(text, { parseSpecial: true, addSpecial: true }),
    piece: (token) => bytes.subarray(offsets[token] ?? 0, offsets[token + 1] ?? 0),
  };
}

/**
 * Opens a model with llama.cpp. Throws NATIVE_UNAVAILABLE without the native layer, FILE_NOT_FOUND or BAD_MODEL_FILE for
 * the file, UNSUPPORTED_FEATURE for a tokenizer of a foreign kind.
 */
export async function openLlama(options: LlamaEngineOptions): Promise<Engine> {
  const { modelPath, clock, log } = options;
  const header = await readModelHeader(modelPath);
  const { artifacts } = textArtifacts(header);
  const { addon, llama } = openLibrary(options);
  const hasGpu = llama.devices.some(({ kind }) => kind === "gpu" || kind === "igpu");
  const gpuLayers = options.gpuLayers ?? (hasGpu ? -1 : 0);
  const [model, modelDigest] = await Promise.all([loadModel(llama, options, gpuLayers), digestFile(modelPath)]);
  const choices = choose(options, model);
  const scheduler = schedulerOptions(options, model, { ...choices, gpuLayers });
  const { blocks, blockTokens } = scheduler;
  const vocab = model.vocab();
  const executor = new LlamaExecutor({ model, vocab, modelPath, blockTokens, log });
  let context: Context;
  try {
    const cellTokens = blocks * blockTokens;
    const threads = choices.threads.value;
    const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
    const { maxBatchTokens } = scheduler;
    context = await model.openContext(
      { cellTokens, maxSequences: choices.slots.value, maxBatchTokens, threads, ...kvTypes },
      (result) => executor.onStep(result),
    );
  } catch (caught) {
    await executor.close();
    throw fromNativeError(caught, modelPath);
  }
  executor.attach(context);
  log.info("model is open", { contextTokens: scheduler.contextTokens, ...choices });
  for (const line of llama.drainLog()) log.debug("library", { line });
  const layout = blockLayout(context.kvLayout, { blockTokens, llamaVersion: llama.llamaVersion });
  const noGpu = whyNoGpu(llama, gpuLayers);
  const quantization = quantizationOf(modelPath, header);
  const defaultSampling = readDefaultSampling(header, options.sampling, log);
  const card: EngineCard = {
    engine: "llama",
    model: options.model ?? modelNameOf(modelPath),
    contextTokens: scheduler.contextTokens,
    blockTokens,
    totalBlocks: blocks,
    maxRunningRequests: scheduler.maxRunning,
    maxWaitingRequests: scheduler.maxWaiting,
    hashScheme: HASH_SCHEME,
    quantization,
    modelDigest,
    capabilities: capabilitiesOf(model, context, { layout, noGpu }),
    defaultSampling,
    artifacts,
    layout: "reason" in layout ? undefined : layout,
    facts: llamaFacts(llama, model, { ...choices, quantization, scheduler, gpuLayers, defaultSampling, options }),
  };
  const text = textOf(vocab);
  const hashBytes = (bytes: Uint8Array, seed: bigint) => addon.xxh3(bytes, seed);
  return new ScheduledEngine({
    card,
    scheduler,
    executor,
    text,
    clock,
    log,
    hashBytes,
    embedTokens: context.embedTokens,
  });
}
