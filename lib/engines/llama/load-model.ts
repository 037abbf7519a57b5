import { StatorError } from "#lib/base/errors";
import type { Llama, Model } from "#lib/native/llama";
import { chunkTokensOf, threadsOf } from "./cache-plan.ts";
import type { Choice } from "./choice.ts";
import { probeExactness, type Verdict } from "./exact-probe.ts";
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

/** Why a model cannot be computed exactly; undefined when it is worth a try. */
function whyNotExact(model: Model): string | undefined {
  if (!model.decoder) return "the model encodes only";
  if (model.recurrent || model.hybrid) return "its state is not kept per token";
  return undefined;
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
    if (typeof found !== "string") {
      const beside = "rows beside others are summed in another order";
      return { model, gpuLayers, threads, exact: found, whyNot: found.deterministic === "batch" ? undefined : beside };
    }
    model.close();
    if (options.exact) throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Exact mode", detail: found });
    log.warn("exact mode does not hold for this model", { reason: found });
    whyNot = found;
  }
  const model = await loadModel(llama, options, { gpuLayers, plainKernels: false });
  return { model, gpuLayers, threads: threadsOf(options, model), exact: undefined, whyNot };
}
