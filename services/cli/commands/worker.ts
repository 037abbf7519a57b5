import { TENSOR_EXAMPLES } from "#lib/engines/tensor/examples";
import { systemClock } from "#lib/host/system-clock";
import { reportToParent } from "../children.ts";
import type { Command, CommandContext } from "../command.ts";
import { engineRecipe } from "../compose/engine.ts";
import type { EngineRecipe } from "../compose/engine-recipe.ts";
import { moduleRecipe, readModule } from "../compose/module.ts";
import { ENGINE_KEYS, MEMORY_KEYS, TLS_KEYS } from "../compose/options.ts";
import { settleMemory } from "../compose/settle-memory.ts";
import { openTensorWorker, type TensorParts } from "../compose/tensor-worker.ts";
import { openWorker } from "../compose/worker.ts";
import { isModule, takesTensors } from "../engine-option.ts";
import { printModelReport, reportModel } from "../model-report.ts";

/** `stator worker`: one engine behind the worker's contracts. */
export const worker: Command = {
  arguments: "",
  help:
    "Loads a model, registers with --discovery and serves stator.worker.v1 and openengine.v1 on its gRPC port, with\n" +
    "health and reflection. Without --discovery it serves its port alone, for clients that know it. --engine module:FILE\n" +
    "loads an engine of your own in TypeScript or JavaScript (docs/engines.md). A worker of tensors (--engine tensor, or\n" +
    "a module that has some) serves inference.GRPCInferenceService in their place; one of --engine kserve serves nothing\n" +
    "itself, and registers the models of a Triton or KServe server with the address that frontends dial. One of\n" +
    "--engine openengine stands in front of an engine that speaks openengine.v1 at --url.",
  options: [
    "engine",
    ...ENGINE_KEYS,
    "machine.workers",
    "discovery",
    "namespace",
    "lease-ms",
    "grpc.host",
    "grpc.port",
    "grpc.message-bytes",
    "advertise-host",
    "metrics.port",
    ...TLS_KEYS,
    ...MEMORY_KEYS,
    "drain-ms",
    "trace.endpoint",
  ],
  says: {
    discovery: "Where it registers: hub://HOST:PORT, file:///DIR, etcd://HOST:PORT. Absent: nowhere.",
    "grpc.port": "Port of the link, openengine.v1 and artifacts; 0 takes a free one.",
    "metrics.port": "HTTP port for /metrics, /live and /ready; -1 opens none.",
  },
  serves: true,
  run: runWorker,
};

async function runWorker(context: CommandContext): Promise<number> {
  const { engine } = context.values;
  if (takesTensors(engine)) return await runTensors(context, { engine, there: TENSOR_EXAMPLES });
  if (!isModule(engine)) return await runText(context, await engineRecipe(context));
  const module = await readModule(engine);
  const code =
    module.kind === "tensor"
      ? await runTensors(context, { engine, there: module.models })
      : await runText(context, moduleRecipe(context, { engine, module }));
  // What a module has left running does not keep the process, once all else of it has ended.
  systemClock.after(LEFT_MS, () => process.exit());
  return code;
}

async function runText(context: CommandContext, recipe: EngineRecipe): Promise<number> {
  const { values, isChild, print, stopped } = context;
  const onProgress = (fraction: number) => void reportToParent({ type: "progress", phase: "loading", fraction });
  const opened = await openWorker(context, { recipe, onProgress, stopped });
  if (!opened) return 0;
  settleMemory();
  const { card } = opened.engine;
  const detail = card.model;
  const model = reportModel(card);
  reportToParent({ type: "ready", address: opened.address, detail, models: [model] });
  if (!isChild) {
    print(printModelReport(model, context.config));
    print(`${card.engine} worker serves ${card.model} on ${opened.address}. Ctrl-C drains it.`);
  }
  await Promise.race([stopped, opened.failed]);
  await opened.drain(values["drain-ms"]);
  return opened.hasFailed ? 1 : 0;
}

async function runTensors(context: CommandContext, parts: Omit<TensorParts, "stopped">): Promise<number> {
  const { values, isChild, print, stopped, config } = context;
  const { engine } = parts;
  const opened = await openTensorWorker(context, { ...parts, stopped });
  if (!opened) return 0;
  const { address, models, drain } = opened;
  const names = models.map(({ name }) => name).join(", ") || "no model yet";
  reportToParent({ type: "ready", address, detail: names, models });
  if (!isChild) {
    for (const model of models) print(printModelReport(model, config));
    const how = engine === "kserve" ? `stands in front of ${values.url} with` : "serves";
    print(`${engine} worker ${how} ${names} on ${address}. Ctrl-C drains it.`);
  }
  await stopped;
  await drain(values["drain-ms"]);
  return 0;
}

/** Time for what is under way in a module when the worker has ended, in milliseconds. */
const LEFT_MS = 500;
