import { fileURLToPath } from "node:url";
import { StatorError } from "#lib/base/errors";
import { modelNameOf } from "#lib/engines/llama/llama-card";
import { openLlama } from "#lib/engines/llama/llama-engine";
import { readLlamaOptions } from "#lib/engines/llama/llama-options";
import { MOCK_MODEL, openMock } from "#lib/engines/mock/mock-engine";
import { readMockOptions } from "#lib/engines/mock/mock-options";
import { checkModelFile } from "#lib/engines/model-file";
import { openOpenEngine } from "#lib/engines/openengine/openengine-engine";
import { readOpenEngineLimits } from "#lib/engines/openengine/options";
import { readSampling } from "#lib/engines/options";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { readCredentials } from "#lib/rpc/options";
import type { ProcessContext } from "../command.ts";
import { isModule, takesTensors } from "../engine-option.ts";
import { llamaUnavailable } from "./engine-choice.ts";
import type { EngineRecipe } from "./engine-recipe.ts";
import { moduleRecipe, readModule } from "./module.ts";

/** The demo model that ships. */
export const DEMO_MODEL_PATH = fileURLToPath(new URL("../../../models/stator-demo-q8_0.gguf", import.meta.url));

/** host:port, [v6]:port. */
const ADDRESS = /^(\[[^\]]+\]|[^:/]+):\d+$/;

/** The address of what a worker of this engine stands in front of. Throws BAD_CONFIG. */
export function readUrl({ url }: ProcessContext["values"], engine: string): string {
  if (url !== undefined && ADDRESS.test(url)) return url;
  const detail = `--engine ${engine} needs --url HOST:PORT, the gRPC port of the server that it stands in front of.`;
  throw new StatorError("BAD_CONFIG", { detail });
}

/** Reads what a worker is to run. Throws NATIVE_UNAVAILABLE, FILE_NOT_FOUND or BAD_MODEL_FILE before anything is loaded; a module is. */
export async function engineRecipe(context: ProcessContext): Promise<EngineRecipe> {
  const { values, log } = context;
  if (takesTensors(values.engine)) {
    throw new StatorError("BAD_CONFIG", {
      detail: `The engine ${values.engine} serves tensors, and a text model is asked for.`,
    });
  }
  if (isModule(values.engine)) {
    const module = await readModule(values.engine);
    return moduleRecipe(context, { engine: values.engine, module });
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
  if (values.engine === "openengine")
    return { ...served, ...foreignRecipe(context, { model: named, file: entry?.file }) };
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

/** An engine that runs already: of its model's file, where one is given, the tokenizer alone is read. */
function foreignRecipe(
  { values, log }: ProcessContext,
  { model, file }: { readonly model: string | undefined; readonly file: string | undefined },
): Omit<EngineRecipe, "aliases"> {
  const url = readUrl(values, "openengine");
  const credentials = readCredentials(values, systemClock);
  const messageBytes = values["grpc.message-bytes"];
  const open = (_: unknown, signal: AbortSignal) =>
    openOpenEngine({
      transport: new Channel(url, credentials, systemClock, { messageBytes }),
      address: url,
      remoteModel: values["openengine.model"],
      model,
      modelPath: file,
      sampling: readSampling(values),
      clock: systemClock,
      chance: systemChance,
      log,
      limits: readOpenEngineLimits(values),
      signal,
    });
  return { engine: "openengine", model: model ?? values["openengine.model"] ?? "", open };
}
