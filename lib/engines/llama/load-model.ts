import { StatorError } from "#lib/base/errors";
import type { Llama, Model } from "#lib/native/llama";
import { chunkTokensOf, threadsOf } from "./cache-plan.ts";
import type { Choice } from "./choice.ts";
import { type Impossible, probeExactness, type Verdict } from "./exact-probe.ts";
import { phraseOf } from "./llama-card.ts";
import type { LlamaEngineOptions } from "./llama-options.ts";
import { fromNativeError } from "./native-errors.ts";

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

/** A model, and how it is computed. */
export interface LoadedModel {
  readonly model: Model;
  /** Layers on a GPU; negative means all. */
  readonly gpuLayers: number;
  readonly threads: Choice;
  /** What was proved in exact mode; undefined outside of it. */
  readonly exact: Verdict | undefined;
  /** Why answers may differ. */
  readonly whyNot: string | undefined;
}

/** Proves the exact mode on a model that was loaded for it. */
async function prove(options: LlamaEngineOptions, model: Model, threads: number): Promise<Verdict | Impossible> {
  if (model.recurrent || model.hybrid) return { why: "its state is not kept per token" };
  const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
  try {
    return await probeExactness(model, { ...kvTypes, threads, chunkTokens: chunkTokensOf(options), hostMemory: true });
  } catch (caught) {
    return { why: phraseOf(fromNativeError(caught, options.modelPath).message) };
  }
}

/**
 * Loads the model for exact mode where that is wanted and holds, else as it is fastest. Throws UNSUPPORTED_FEATURE where
 * exact mode was asked for and does not hold, and what the file is refused for.
 */
export async function loadForMode(llama: Llama, options: LlamaEngineOptions, gpuLayers: number): Promise<LoadedModel> {
  const { exact = gpuLayers === 0, log } = options;
  let whyNot = options.exact === false ? "exact mode is off" : "a GPU computes";
  if (exact) {
    const model = await loadModel(llama, options, { gpuLayers, plainKernels: true });
    const threads = threadsOf(options, model);
    const found = await prove(options, model, threads.value);
    if (!("why" in found)) {
      const beside = "rows beside others are summed in another order";
      return { model, gpuLayers, threads, exact: found, whyNot: found.deterministic === "batch" ? undefined : beside };
    }
    model.close();
    if (options.exact) throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Exact mode", detail: found.why });
    log.info("exact mode does not hold for this model", { reason: found.why });
    whyNot = found.why;
  }
  const model = await loadModel(llama, options, { gpuLayers, plainKernels: false });
  return { model, gpuLayers, threads: threadsOf(options, model), exact: undefined, whyNot };
}
