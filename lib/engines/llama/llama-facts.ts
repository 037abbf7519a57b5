import type { Llama, Model } from "#lib/native/llama";
import type { EngineFact } from "../engine.ts";
import { countOf, sizeOf } from "../facts.ts";
import type { SchedulerOptions } from "../schedule/options.ts";
import { whyNoGpu } from "./llama-card.ts";

/** What was decided when a model was opened. */
export interface LlamaChoices {
  readonly quantization: string;
  readonly scheduler: SchedulerOptions;
  readonly gpuLayers: number;
  readonly threads: number;
}

/** What people are told of an open model. */
export function llamaFacts(llama: Llama, model: Model, choices: LlamaChoices): EngineFact[] {
  const { quantization, scheduler, threads } = choices;
  const { blocks, blockTokens, contextTokens } = scheduler;
  const wholeModel = contextTokens === model.trainContextTokens;
  return [
    { what: "size", value: sizeOf(model.sizeBytes), by: `${parametersOf(model.parameters)} parameters` },
    { what: "quantization", value: quantization, by: "the file" },
    {
      what: "context",
      value: countOf(contextTokens, "tokens"),
      ...(wholeModel && { by: "the model's own length" }),
    },
    { what: "threads", value: String(threads) },
    deviceOf(llama, choices.gpuLayers),
    { what: "blocks", value: countOf(blocks, `of ${blockTokens} tokens`) },
  ];
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
