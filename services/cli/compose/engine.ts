import { fileURLToPath } from "node:url";
import { assert, StatorError } from "#lib/base/errors";
import { parseSampling, type SaidSampling } from "#lib/base/sampling";
import type { Engine } from "#lib/engines/engine";
import { modelNameOf } from "#lib/engines/llama/llama-card";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { MOCK_MODEL, openMock } from "#lib/engines/mock/mock-engine";
import { checkModelFile } from "#lib/engines/model-file";
import { systemClock } from "#lib/host/system-clock";
import type { CommandContext } from "../command.ts";
import { llamaUnavailable } from "./engine-choice.ts";

/** How a worker's engine will be opened. */
export interface EngineRecipe {
  readonly engine: "llama" | "mock";
  /** Name that it will be served under. */
  readonly model: string;
  /** Other names for it. */
  readonly aliases: readonly string[];
  /** The signal ends a load that nobody waits for any more. */
  open(onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Engine>;
}

/** The demo model that ships. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url));

/** A number that somebody said; undefined leaves it to the engine. */
function said(value: number | "auto"): number | undefined {
  return value === "auto" ? undefined : value;
}

/** A list that the options have checked already. */
function saidSampling(list: string | undefined): SaidSampling | undefined {
  const said = list === undefined ? undefined : parseSampling(list);
  assert(said === undefined || !("expected" in said), "options are checked when they are read");
  return said;
}

/** Reads what a worker is to run. Throws NATIVE_UNAVAILABLE, FILE_NOT_FOUND or BAD_MODEL_FILE before anything is loaded. */
export async function engineRecipe({ values, log }: CommandContext): Promise<EngineRecipe> {
  const [entry, ...more] = values.model;
  if (more.length > 0) {
    throw new StatorError("BAD_CONFIG", { detail: "A worker serves one model; `stator up` serves several." });
  }
  const modelPath = entry?.file ?? DEMO_MODEL_PATH;
  const aliases = entry?.aliases ?? [];
  const named = values["model-name"] ?? entry?.name;
  const sampling = saidSampling(values["default-sampling"]);
  if (values.engine === "mock") {
    const model = named ?? MOCK_MODEL;
    const speed = values["mock.speed"];
    const open = () =>
      openMock({
        modelPath,
        model,
        sampling,
        clock: systemClock,
        log,
        timing: { kind: "polynomial", speedup: speed, decodeSpeedup: 1 },
        blocks: values["mock.total-blocks"],
        contextTokens: values["mock.context-tokens"],
        maxRunning: values["mock.max-running"],
        instantTokens: values["mock.step-tokens"],
      });
    return { engine: "mock", model, aliases, open };
  }
  const missing = llamaUnavailable();
  if (missing) throw new StatorError("NATIVE_UNAVAILABLE", missing);
  // A file that is no model is told before the worker is published.
  await checkModelFile(modelPath);
  const model = named ?? modelNameOf(modelPath);
  const gpuLayers = values["llama.gpu-layers"];
  const open = (onProgress: (fraction: number) => void, signal: AbortSignal) =>
    openLlama({
      modelPath,
      model,
      sampling,
      clock: systemClock,
      log,
      onProgress,
      signal,
      workers: values["machine.workers"],
      contextTokens: said(values["llama.context-tokens"]),
      ...(values["llama.exact"] !== "auto" && { exact: values["llama.exact"] === "on" }),
      maxRunning: values["llama.max-running"],
      maxWaiting: values["llama.max-waiting"],
      maxBatchTokens: values["llama.batch-tokens"],
      threads: said(values["llama.threads"]),
      kvType: values["llama.kv-type"],
      gpuLayers: gpuLayers < 0 ? undefined : gpuLayers,
    });
  return { engine: "llama", model, aliases, open };
}
