import { fileURLToPath } from "node:url";
import { StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { modelNameOf } from "#lib/engines/llama/llama-card";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { readLlamaOptions } from "#lib/engines/llama/llama-options";
import { MOCK_MODEL, openMock } from "#lib/engines/mock/mock-engine";
import { readMockOptions } from "#lib/engines/mock/mock-options";
import { checkModelFile } from "#lib/engines/model-file";
import { readSampling } from "#lib/engines/options";
import { systemClock } from "#lib/host/system-clock";
import type { ProcessContext } from "../command.ts";
import { takesTensors } from "../engine-option.ts";
import { llamaUnavailable } from "./engine-choice.ts";

/** How a worker's engine will be opened. */
export interface EngineRecipe {
  /** What it is called, such as llama or mock. */
  readonly engine: string;
  /** Name that it will be served under. */
  readonly model: string;
  /** Other names for it. */
  readonly aliases: readonly string[];
  /** What is spelled like a control token in a message to it is one; as the worker's options say unless given. */
  readonly markersInContent?: boolean;
  /** The signal ends a load that nobody waits for any more. */
  open(onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Engine>;
}

/** The demo model that ships. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url));

/** Reads what a worker is to run. Throws NATIVE_UNAVAILABLE, FILE_NOT_FOUND or BAD_MODEL_FILE before anything is loaded. */
export async function engineRecipe({ values, log }: ProcessContext): Promise<EngineRecipe> {
  if (takesTensors(values.engine)) {
    throw new StatorError("BAD_CONFIG", {
      detail: `The engine ${values.engine} serves tensors, and a text model is asked for.`,
    });
  }
  const [entry, ...more] = values.model;
  if (more.length > 0) {
    throw new StatorError("BAD_CONFIG", { detail: "A worker serves one model; `stator up` serves several." });
  }
  const modelPath = entry?.file ?? DEMO_MODEL_PATH;
  const served = { aliases: entry?.aliases ?? [], markersInContent: entry?.["markers-in-content"] };
  const named = values["model-name"] ?? entry?.name;
  const sampling = readSampling(values);
  if (values.engine === "mock") {
    const model = named ?? MOCK_MODEL;
    const open = () => openMock({ modelPath, model, sampling, clock: systemClock, log, ...readMockOptions(values) });
    return { engine: "mock", model, ...served, open };
  }
  const missing = llamaUnavailable();
  if (missing) throw new StatorError("NATIVE_UNAVAILABLE", missing);
  // A file that is no model is told before the worker is published.
  await checkModelFile(modelPath);
  const model = named ?? modelNameOf(modelPath);
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
      ...readLlamaOptions(values),
    });
  return { engine: "llama", model, ...served, open };
}
