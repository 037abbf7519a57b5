import type { Determinism } from "#lib/base/determinism";
import { StatorError } from "#lib/base/errors";
import type { Llama, Model } from "#lib/native/llama";
import type { PassRecord } from "#lib/perf/time-model";
import { chunkTokensOf, threadsOf } from "./cache-plan.ts";
import type { Choice } from "./choice.ts";
import { type Impossible, probeExactness } from "./exact-probe.ts";
import { phraseOf } from "./llama-card.ts";
import type { LlamaEngineOptions } from "./llama-options.ts";
import { timePasses } from "./measure-times.ts";
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

/** What was proved of a model. */
export interface Verdict {
  /** What the probe showed. */
  readonly deterministic: Exclude<Determinism, "no">;
  /** Rows are never computed alone: without that, bits would depend on who else is there. */
  readonly pairRows: boolean;
}

/** A model, and how it is computed. */
export interface LoadedModel {
  /** Whoever gets it closes it. */
  readonly model: Model;
  /** Layers on a GPU; negative means all. */
  readonly gpuLayers: number;
  /** With which it was probed, and is to compute. */
  readonly threads: Choice;
  /** What was proved in exact mode; undefined outside of it. */
  readonly exact: Verdict | undefined;
  /** Why answers may differ. */
  readonly whyNot: string | undefined;
  /** Passes that it was tried with, for what they took. */
  readonly passes: readonly PassRecord[];
}

/** Ways to compute exactly, the cheapest first. */
interface Way {
  readonly plainKernels: boolean;
  readonly pairRows: boolean;
}

/**
 * Kernels over packed weights are faster, and exact for some quantizations on some processors; companions cost a row where
 * one would be alone. Several threads divide a lone row among themselves: there is no need to try without companions.
 */
function waysOf(threads: number): readonly [Way, ...Way[]] {
  if (threads > 1)
    return [
      { plainKernels: false, pairRows: true },
      { plainKernels: true, pairRows: true },
    ];
  const alone = { pairRows: false } as const;
  const plain = { plainKernels: true } as const;
  return [
    { ...alone, plainKernels: false },
    { ...alone, ...plain },
    { ...plain, pairRows: true },
  ];
}

/** Tries one way on a model that was loaded for it. */
async function prove(
  options: LlamaEngineOptions,
  model: Model,
  way: Way & { readonly threads: number; readonly onPass: (pass: PassRecord) => void },
) {
  if (model.recurrent || model.hybrid) return { why: "its state is not kept per token" };
  const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
  const { threads, pairRows, onPass } = way;
  const chunkTokens = chunkTokensOf(options);
  try {
    return await probeExactness(model, { ...kvTypes, threads, pairRows, chunkTokens, hostMemory: true, onPass });
  } catch (caught) {
    return { why: phraseOf(fromNativeError(caught, options.modelPath).message) };
  }
}

/** A model that is open, and what was proved of it: the first way that holds beside others, else the last one alone. */
interface Proof {
  readonly model: Model;
  readonly threads: Choice;
  readonly found: Verdict | Impossible;
  /** Of the last way that was tried. */
  readonly passes: readonly PassRecord[];
}

async function proveAny(llama: Llama, options: LlamaEngineOptions, gpuLayers: number): Promise<Proof> {
  let plainKernels = false;
  let passes: PassRecord[] = [];
  let model = await loadModel(llama, options, { gpuLayers, plainKernels });
  const threads = threadsOf(options, model);
  let found: Verdict | Impossible = { why: "the same rows gave other bits when they were cut or placed otherwise" };
  for (const way of waysOf(threads.value)) {
    if (way.plainKernels !== plainKernels) {
      model.close();
      plainKernels = way.plainKernels;
      model = await loadModel(llama, options, { gpuLayers, plainKernels });
    }
    passes = [];
    const onPass = (pass: PassRecord) => passes.push(pass);
    const deterministic = await prove(options, model, { ...way, threads: threads.value, onPass });
    if (typeof deterministic === "object") return { model, threads, found: deterministic, passes };
    const { pairRows } = way;
    if (deterministic === "batch") return { model, threads, found: { deterministic, pairRows }, passes };
    if (deterministic === "alone" && plainKernels && pairRows) found = { deterministic, pairRows };
  }
  return { model, threads, found, passes };
}

/** Times a model that no other probe has tried. What cannot be timed has no times: whoever wants them learns them. */
async function timeAlone(options: LlamaEngineOptions, model: Model, threads: number): Promise<readonly PassRecord[]> {
  if (!model.decoder) return [];
  const kvTypes = options.kvType && { kvTypeK: options.kvType, kvTypeV: options.kvType };
  try {
    return await timePasses(model, { threads, ...kvTypes });
  } catch (caught) {
    options.log.info("passes were not timed", { reason: fromNativeError(caught, options.modelPath).message });
    return [];
  }
}

/**
 * Loads the model for exact mode where that is wanted and holds, else as it is fastest. Throws UNSUPPORTED_FEATURE where
 * exact mode was asked for and does not hold, and what the file is refused for.
 */
export async function loadForMode(llama: Llama, options: LlamaEngineOptions, gpuLayers: number): Promise<LoadedModel> {
  const { exact = gpuLayers === 0, log } = options;
  let whyNot: string | undefined = options.exact === false ? "exact mode is off" : "a GPU computes";
  if (exact) {
    const { model, threads, found, passes } = await proveAny(llama, options, gpuLayers);
    if (!("why" in found)) {
      const beside = "rows beside others are summed in another order";
      whyNot = found.deterministic === "batch" ? undefined : beside;
      return { model, gpuLayers, threads, exact: found, whyNot, passes };
    }
    model.close();
    if (options.exact) throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Exact mode", detail: found.why });
    log.info("exact mode does not hold for this model", { reason: found.why });
    whyNot = found.why;
  }
  const model = await loadModel(llama, options, { gpuLayers, plainKernels: false });
  const threads = threadsOf(options, model);
  const passes = await timeAlone(options, model, threads.value);
  return { model, gpuLayers, threads, exact: undefined, whyNot, passes };
}
