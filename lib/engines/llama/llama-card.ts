import { basename } from "node:path";
import type { KvLayout } from "#lib/kv/layout";
import type { Context, KvLayout as NativeLayout } from "#lib/native/context";
import type { Llama, Model } from "#lib/native/llama";
import { type GgufHeader, ggufU32 } from "#lib/text/gguf";
import type { EngineCapabilities } from "../engine.ts";

/** Names of `general.file_type`, by its value. */
const FILE_TYPES: Readonly<Record<number, string>> = {
  0: "f32",
  1: "f16",
  2: "q4_0",
  3: "q4_1",
  7: "q8_0",
  8: "q5_0",
  9: "q5_1",
  10: "q2_k",
  11: "q3_k_s",
  12: "q3_k_m",
  13: "q3_k_l",
  14: "q4_k_s",
  15: "q4_k_m",
  16: "q5_k_s",
  17: "q5_k_m",
  18: "q6_k",
  19: "iq2_xxs",
  20: "iq2_xs",
  21: "q2_k_s",
  22: "iq3_xs",
  23: "iq3_xxs",
  24: "iq1_s",
  25: "iq4_nl",
  26: "iq3_s",
  27: "iq3_m",
  28: "iq2_s",
  29: "iq2_m",
  30: "iq4_xs",
  31: "iq1_m",
  32: "bf16",
  36: "tq1_0",
  37: "tq2_0",
  38: "mxfp4",
};

const QUANTIZATION = /[-._](i?q\d\w*|tq\d\w*|b?f16|f32|mxfp4)$/i;

function stemOf(path: string): string {
  return basename(path).replace(/\.gguf$/i, "");
}

/**
 * How a model's weights are stored, in the words of the field; `unknown` when neither name nor content say. The name
 * goes first: programs that quantize a file often leave its metadata as it was.
 */
export function quantizationOf(path: string, header: GgufHeader): string {
  const named = QUANTIZATION.exec(stemOf(path))?.[1]?.toLowerCase();
  return named ?? FILE_TYPES[ggufU32(header, "general.file_type") ?? -1] ?? "unknown";
}

/** The name that a model is served under unless it is given one: the file's, without its ending and its quantization. */
export function modelNameOf(path: string): string {
  const stem = stemOf(path);
  return stem.replace(QUANTIZATION, "") || stem;
}

/** The layout of exported blocks; a reason when blocks cannot be exported. */
export function blockLayout(
  native: NativeLayout,
  options: { readonly blockTokens: number; readonly engineFormat: string },
): KvLayout | { readonly reason: string } {
  const [first] = native.layers;
  if (!native.exportable || !first) return { reason: phraseOf(native.reason ?? "The model keeps no cache.") };
  const isAlike = native.layers.every(
    (layer) =>
      layer.keyRowBytes === first.keyRowBytes &&
      layer.valueRowBytes === first.valueRowBytes &&
      layer.keyType === first.keyType &&
      layer.valueType === first.valueType,
  );
  if (!isAlike) return { reason: "the layers of this model differ in their rows" };
  const { keyType, valueType } = first;
  return {
    layers: native.layers.length,
    blockTokens: options.blockTokens,
    keyRowBytes: first.keyRowBytes,
    valueRowBytes: first.valueRowBytes,
    elementType: keyType === valueType ? keyType : `${keyType}/${valueType}`,
    engineFormat: options.engineFormat,
    order: "layer-kind",
  };
}

/** A sentence of the addon as part of one of ours: without its full stop. */
export function phraseOf(sentence: string): string {
  return sentence.replace(/\.$/, "").replace(/^[A-Z]/, (letter) => letter.toLowerCase());
}

/** Why no GPU computes; undefined when one does. */
export function whyNoGpu(llama: Llama, gpuLayers: number): string | undefined {
  if (llama.devices.some(({ kind }) => kind === "gpu" || kind === "igpu")) {
    return gpuLayers === 0 ? "no layer was asked to run on it" : undefined;
  }
  const failed = llama.backends.filter((backend) => !backend.loaded);
  if (failed.length === 0) return "no back end for one is installed";
  return failed.map(({ path, reason }) => `${basename(path)}: ${phraseOf(reason ?? "it does not load")}`).join("; ");
}

/** Whether a device of CUDA computes, at least some layers. */
export function isOnCuda(llama: Llama, gpuLayers: number): boolean {
  return gpuLayers !== 0 && llama.devices.some(({ name }) => name.startsWith("CUDA"));
}

/** What the engine can do with its model. */
export function capabilitiesOf(
  model: Model,
  context: Context,
  options: {
    readonly layout: KvLayout | { readonly reason: string };
    readonly noGpu: string | undefined;
    /** Why answers may differ. */
    readonly whyNot: string | undefined;
  },
): EngineCapabilities {
  const { layout, noGpu, whyNot } = options;
  const missing: Record<string, string> = {};
  if (!model.decoder) missing.generate = "the model encodes only";
  if ("reason" in layout) missing.kvBlocks = layout.reason;
  if (noGpu !== undefined) missing.gpu = noGpu;
  if (whyNot !== undefined) missing.deterministic = whyNot;
  return {
    generate: model.decoder,
    embed: context.embedTokens > 0,
    grammar: true,
    logprobs: true,
    promptLogprobs: true,
    lora: true,
    kvBlocks: !("reason" in layout),
    mock: false,
    embeddingSize: model.embedding,
    maxTopLogprobs: 20,
    missing,
  };
}
