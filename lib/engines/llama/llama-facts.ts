import type { DefaultSampling } from "#lib/base/sampling";
import type { Llama } from "#lib/native/llama";
import type { EngineFact } from "../engine.ts";
import { countOf, sizeOf } from "../facts.ts";
import type { CachePlan } from "./cache-plan.ts";
import { whyNoGpu } from "./llama-card.ts";
import type { LoadedModel } from "./load-model.ts";

/** What was decided when a model was opened. */
export interface LlamaDecisions {
  /** What somebody said, so that the choice was not the engine's. */
  readonly options: { readonly threads?: number; readonly sampling?: object };
  /** What the cache is opened with. */
  readonly plan: CachePlan;
  /** In the words of the field, from the file. */
  readonly quantization: string;
  /** The operator's values before the file's. */
  readonly defaultSampling: DefaultSampling;
}

/** What people are told of an open model. */
export function llamaFacts(llama: Llama, loaded: LoadedModel, decided: LlamaDecisions): EngineFact[] {
  const { options, plan, quantization, defaultSampling } = decided;
  const { model, threads, gpuLayers } = loaded;
  const { blocks, blockTokens, contextTokens } = plan.scheduler;
  const planBy = plan.why === "an option" ? {} : { by: plan.why };
  const contextBy = contextTokens === model.trainContextTokens ? { by: "the model's own length" } : planBy;
  return [
    { what: "size", value: sizeOf(model.sizeBytes), by: `${parametersOf(model.parameters)} parameters` },
    { what: "quantization", value: quantization, by: "the file" },
    { what: "context", value: countOf(contextTokens, "tokens"), ...contextBy },
    { what: "threads", value: String(threads.value), ...(options.threads === undefined && { by: threads.why }) },
    deviceOf(llama, gpuLayers),
    { what: "blocks", value: countOf(blocks, `of ${blockTokens} tokens`), ...planBy },
    { what: "cache", value: sizeOf(plan.cacheBytes), by: countOf(plan.sequences, "sequences") },
    answersOf(loaded),
    samplingOf(defaultSampling, options.sampling !== undefined),
  ];
}

function answersOf({ exact, whyNot }: LoadedModel): EngineFact {
  const values = { batch: "the same every time", alone: "the same when alone", no: "may differ in their last digits" };
  const value = values[exact?.deterministic ?? "no"];
  return { what: "answers", value, ...(whyNot !== undefined && { by: whyNot }) };
}

function samplingOf(values: DefaultSampling, said: boolean): EngineFact {
  const named = Object.entries(values).map(([name, value]) => `${name} ${value}`);
  if (named.length === 0) return { what: "sampling", value: "temperature 1", by: "the API's default" };
  return { what: "sampling", value: named.join(" "), ...(!said && { by: "the file" }) };
}

function deviceOf(llama: Llama, gpuLayers: number): EngineFact {
  const noGpu = whyNoGpu(llama, gpuLayers);
  if (noGpu !== undefined) return { what: "device", value: "CPU", by: noGpu };
  const gpu = llama.devices.find(({ kind }) => kind === "gpu" || kind === "igpu");
  return { what: "device", value: gpu?.description || gpu?.name || "GPU" };
}

function parametersOf(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} billion` : `${(count / 1e6).toFixed(count < 1e7 ? 1 : 0)} million`;
}
