import { StatorError } from "#lib/base/errors";
import { loadNative, type NativeAddon } from "#lib/native/addon";
import type { Context } from "#lib/native/context";
import type { LlamaOptions as LibraryOptions, Llama, Model, Vocab } from "#lib/native/llama";
import { locateLlama } from "#lib/native/location";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import { readDefaultSampling } from "../default-sampling.ts";
import type { Engine, EngineCard } from "../engine.ts";
import type { ModelText } from "../executor.ts";
import { digestFile, readModelHeader, textArtifacts } from "../model-file.ts";
import { ScheduledEngine } from "../scheduled-engine.ts";
import { chunkTokensOf, planShared, planStreams, threadsOf } from "./cache-plan.ts";
import type { Choice } from "./choice.ts";
import { probeExactness, type Verdict } from "./exact-probe.ts";
import { blockLayout, capabilitiesOf, modelNameOf, quantizationOf, whyNoGpu } from "./llama-card.ts";
import { LlamaExecutor } from "./llama-executor.ts";
import { llamaFacts } from "./llama-facts.ts";
import type { LlamaEngineOptions } from "./llama-options.ts";
import { fromNativeError } from "./native-errors.ts";

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

async function loadModel(
  llama: Llama,
  options: LlamaEngineOptions,
  mode: { readonly gpuLayers: number; readonly plainKernels: boolean },
): Promise<Model> {
  const { modelPath, onProgress, signal } = options;
  try {
    return await llama.loadModel(modelPath, {
      ...mode,
      ...(onProgress && { onProgress }),
      ...(signal && { signal }),
    });
  } catch (caught) {
    throw fromNativeError(caught, modelPath);
  }
}

/** Why a model cannot be computed exactly; undefined when it is worth a try. */
function whyNotExact(model: Model): string | undefined {
  if (!model.decoder) return "the model encodes only";
  if (model.recurrent || model.hybrid) return "its state is not kept per token";
  return undefined;
}

/** A model, and how it is computed. */
interface LoadedModel {
  readonly model: Model;
  readonly threads: Choice;
  /** What was proved in exact mode; undefined outside of it. */
  readonly exact: Verdict | undefined;
  /** Why answers may differ. */
  readonly whyNot: string | undefined;
}

/** Proves the exact mode on a model that was loaded for it; a reason when it does not hold. */
async function prove(options: LlamaEngineOptions, model: Model, threads: number): Promise<Verdict | string> {
  const impossible = whyNotExact(model);
  if (impossible !== undefined) return impossible;
  const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
  try {
    const chunkTokens = chunkTokensOf(options);
    const verdict = await probeExactness(model, { ...kvTypes, threads, chunkTokens, hostMemory: true });
    return verdict.deterministic === "no"
      ? "the same rows gave other bits when they were cut or placed otherwise"
      : verdict;
  } catch (caught) {
    return fromNativeError(caught, options.modelPath).message.replace(/\.$/, "");
  }
}

/** Loads the model for exact mode where that is wanted and holds, else as it is fastest. */
async function loadForMode(llama: Llama, options: LlamaEngineOptions, gpuLayers: number): Promise<LoadedModel> {
  const { exact = gpuLayers === 0, log } = options;
  let whyNot = options.exact === false ? "exact mode is off" : "a GPU computes";
  if (exact) {
    const model = await loadModel(llama, options, { gpuLayers, plainKernels: true });
    const threads = threadsOf(options, model);
    const found = await prove(options, model, threads.value);
    if (typeof found !== "string") {
      const beside = "rows beside others are summed in another order";
      return { model, threads, exact: found, whyNot: found.deterministic === "batch" ? undefined : beside };
    }
    model.close();
    if (options.exact) throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Exact mode", detail: found });
    log.warn("exact mode does not hold for this model", { reason: found });
    whyNot = found;
  }
  const model = await loadModel(llama, options, { gpuLayers, plainKernels: false });
  return { model, threads: threadsOf(options, model), exact: undefined, whyNot };
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
  const [loaded, modelDigest] = await Promise.all([loadForMode(llama, options, gpuLayers), digestFile(modelPath)]);
  const { model, threads, exact, whyNot } = loaded;
  const plan = exact ? planStreams(options, model) : planShared(options, model, gpuLayers);
  const { scheduler, cellTokens, sequences } = plan;
  const { blocks, blockTokens } = scheduler;
  const vocab = model.vocab();
  const executor = new LlamaExecutor({ model, vocab, modelPath, blockTokens, log });
  let context: Context;
  try {
    const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
    const { maxBatchTokens } = scheduler;
    const streams = exact && { streams: true, pairRows: exact.pairRows, hostMemory: gpuLayers === 0 };
    context = await model.openContext(
      { cellTokens, maxSequences: sequences, maxBatchTokens, threads: threads.value, ...kvTypes, ...streams },
      (result) => executor.onStep(result),
    );
  } catch (caught) {
    await executor.close();
    throw fromNativeError(caught, modelPath);
  }
  executor.attach(context);
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
  const card: EngineCard = {
    engine: "llama",
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
    capabilities: capabilitiesOf(model, context, { layout, noGpu, whyNot }),
    deterministic,
    defaultSampling,
    artifacts,
    layout: "reason" in layout ? undefined : layout,
    facts: llamaFacts(llama, model, {
      options,
      plan,
      threads,
      quantization,
      gpuLayers,
      defaultSampling,
      deterministic,
      whyNot,
    }),
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
