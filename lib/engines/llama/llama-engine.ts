import { assert, StatorError } from "#lib/base/errors";
import {
  BEFORE,
  loadNative,
  type NativeAddon,
  type NativeEncoder,
  nativeErrorCode,
  nativeUnavailable,
} from "#lib/native/addon";
import type { Context } from "#lib/native/context";
import { openEncoder } from "#lib/native/encoder";
import type { LlamaOptions as LibraryOptions, Llama, Vocab } from "#lib/native/llama";
import { locateLlama } from "#lib/native/location";
import type { Vocabulary } from "#lib/text/vocabulary";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { readDefaultSampling } from "../default-sampling.ts";
import type { SizedCard, SizedEngine } from "../engine.ts";
import type { ModelText } from "../executor.ts";
import { digestFile, readModelHeader, textArtifacts } from "../model-file.ts";
import { ScheduledEngine } from "../scheduled-engine.ts";
import { type CachePlan, planShared, planStreams } from "./cache-plan.ts";
import { blockLayout, capabilitiesOf, isOnCuda, modelNameOf, quantizationOf, whyNoGpu } from "./llama-card.ts";
import { LlamaExecutor } from "./llama-executor.ts";
import { llamaFacts } from "./llama-facts.ts";
import type { LlamaEngineOptions } from "./llama-options.ts";
import { type LoadedModel, loadForMode } from "./load-model.ts";
import { timesFrom } from "./measure-times.ts";
import { fromNativeError } from "./native-errors.ts";

/** Opens the libraries. Throws NATIVE_UNAVAILABLE with what to do. */
function openLibrary(options: LlamaEngineOptions): { addon: NativeAddon; llama: Llama } {
  const location = locateLlama();
  if (location.unavailable !== undefined) throw new StatorError("NATIVE_UNAVAILABLE", nativeUnavailable(location));
  const native = loadNative();
  if (native.unavailable !== undefined) throw new StatorError("NATIVE_UNAVAILABLE", nativeUnavailable(native));
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

/** Opens the cache of a model, whose results go to the executor. Throws as the library says; the executor is closed then. */
async function openCache(
  options: LlamaEngineOptions,
  { model, threads, exact, gpuLayers }: LoadedModel,
  { plan, executor }: { readonly plan: CachePlan; readonly executor: LlamaExecutor },
): Promise<Context> {
  const { cellTokens, sequences, scheduler } = plan;
  const { maxBatchTokens, maxRunning, maxScoredTokens } = scheduler;
  const rows = { maxBatchTokens, maxOutputs: maxRunning + maxScoredTokens };
  const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
  const streams = exact && { streams: true, pairRows: exact.pairRows, hostMemory: gpuLayers === 0 };
  try {
    const context = await model.openContext(
      { cellTokens, maxSequences: sequences, ...rows, threads: threads.value, ...kvTypes, ...streams },
      (result) => executor.onStep(result),
    );
    executor.attach(context);
    return context;
  } catch (caught) {
    await executor.close();
    throw fromNativeError(caught, options.modelPath);
  }
}

/** Few come with text: callers tokenize for themselves. What they bring is encoded at once, whatever its length. */
const TEXT_BOUNDS = { memoryBytes: 2 << 20, inlineBytes: 2 ** 31 } as const;
const NO_CONTENT = new Uint32Array(0);

/** The addon's own encoder; undefined for a vocabulary that it does not know, whose text the library encodes. */
async function openOwnEncoder(addon: NativeAddon, vocabulary: Vocabulary): Promise<NativeEncoder | undefined> {
  try {
    return await openEncoder(addon, vocabulary, TEXT_BOUNDS);
  } catch (caught) {
    if (nativeErrorCode(caught) === "UNSUPPORTED") return undefined;
    throw fromNativeError(caught, vocabulary.name);
  }
}

function textOf(vocab: Vocab, encoder: NativeEncoder): ModelText {
  const { bytes, offsets } = vocab.pieceTable();
  return {
    vocabularySize: vocab.size,
    tokenize(text) {
      const encoding = encoder.encode(Buffer.from(text), NO_CONTENT, false, BEFORE.nothing);
      assert(!(encoding instanceof Promise), "all text is encoded at once");
      return encoding.ids;
    },
    piece: (token) => bytes.subarray(offsets[token] ?? 0, offsets[token + 1] ?? 0),
  };
}

/**
 * Opens a model with llama.cpp. Throws NATIVE_UNAVAILABLE without the native layer, FILE_NOT_FOUND or BAD_MODEL_FILE for
 * the file, UNSUPPORTED_FEATURE for a tokenizer of a foreign kind.
 */
export async function openLlama(options: LlamaEngineOptions): Promise<SizedEngine> {
  const { modelPath, clock, log } = options;
  const header = await readModelHeader(modelPath);
  const { vocabulary, artifacts } = textArtifacts(header);
  const { addon, llama } = openLibrary(options);
  const hasGpu = llama.devices.some(({ kind }) => kind === "gpu" || kind === "igpu");
  const gpuLayers = options.gpuLayers ?? (hasGpu ? -1 : 0);
  const [loaded, modelDigest, own] = await Promise.all([
    loadForMode(llama, options, gpuLayers),
    digestFile(modelPath),
    openOwnEncoder(addon, vocabulary),
  ]);
  const { model, threads, exact, whyNot } = loaded;
  const plan = exact ? planStreams(options, model) : planShared(options, model, gpuLayers);
  const { scheduler } = plan;
  const { blocks, blockTokens } = scheduler;
  const vocab = model.vocab();
  const encoder = own ?? (await openEncoder(addon, vocabulary, { ...TEXT_BOUNDS, library: vocab }));
  const executor = new LlamaExecutor({
    model,
    vocab,
    modelPath,
    blockTokens,
    log,
    isOnCuda: isOnCuda(llama, gpuLayers),
  });
  const context = await openCache(options, loaded, { plan, executor });
  const deterministic = exact?.deterministic ?? "no";
  log.info("model is open", { contextTokens: scheduler.contextTokens, deterministic, threads, ...plan.said });
  for (const line of llama.drainLog()) log.debug("library", { line });
  const layout = blockLayout(context.kvLayout, {
    blockTokens,
    engineFormat: `llama.cpp-${llama.llamaVersion}${exact ? `-exact${scheduler.chunkTokens}` : ""}`,
  });
  const noGpu = whyNoGpu(llama, gpuLayers);
  const quantization = quantizationOf(modelPath, header);
  const defaultSampling = readDefaultSampling(header, options.sampling, log);
  const card: SizedCard = {
    engine: "llama",
    software: { name: "llama.cpp", version: llama.llamaVersion },
    model: options.model ?? modelNameOf(modelPath),
    contextTokens: scheduler.contextTokens,
    blockTokens,
    reuseTokens: scheduler.chunkTokens || blockTokens,
    totalBlocks: blocks,
    maxRunningRequests: scheduler.maxRunning,
    maxWaitingRequests: scheduler.maxWaiting,
    hashScheme: HASH_SCHEME,
    quantization,
    modelDigest,
    input: "tokens",
    capabilities: capabilitiesOf(model, context, { layout, noGpu, whyNot }),
    deterministic,
    defaultSampling,
    artifacts,
    layout: "reason" in layout ? undefined : layout,
    times: timesFrom(loaded.passes, scheduler.maxBatchTokens),
    facts: llamaFacts(llama, loaded, { options, plan, quantization, defaultSampling }),
  };
  const { embedTokens } = context;
  return new ScheduledEngine({
    card,
    scheduler,
    executor,
    text: textOf(vocab, encoder),
    clock,
    log,
    embedTokens,
  });
}
