import { reportToParent } from "../children.ts";
import type { Command, CommandContext } from "../command.ts";
import { engineRecipe } from "../compose/engine.ts";
import { ENGINE_KEYS, MEMORY_KEYS, TLS_KEYS } from "../compose/options.ts";
import { settleMemory } from "../compose/settle-memory.ts";
import { openTensorWorker } from "../compose/tensor-worker.ts";
import { openWorker } from "../compose/worker.ts";
import { type TensorEngine, takesTensors } from "../engine-option.ts";
import { printModelReport, reportModel } from "../model-report.ts";

/** `stator worker`: one engine behind the worker's contracts. */
export const worker: Command = {
  arguments: "",
  help:
    "Loads a model, registers with --discovery and serves stator.worker.v1 and openengine.v1 on its gRPC port, with\n" +
    "health and reflection. Without --discovery it serves its port alone, for clients that know it. A worker of tensors\n" +
    "(--engine tensor or module:FILE) serves inference.GRPCInferenceService in their place; one of --engine kserve serves\n" +
    "nothing itself, and registers the models of a Triton or KServe server with the address that frontends dial. One of\n" +
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
  return takesTensors(engine) ? await runTensors(context, engine) : await runText(context);
}

async function runText(context: CommandContext): Promise<number> {
  const { values, isChild, print, stopped } = context;
  const onProgress = (fraction: number) => void reportToParent({ type: "progress", phase: "loading", fraction });
  const opened = await openWorker(context, { recipe: await engineRecipe(context), onProgress, stopped });
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

async function runTensors(context: CommandContext, engine: TensorEngine): Promise<number> {
  const { values, isChild, print, stopped, config } = context;
  const opened = await openTensorWorker(context, { engine, stopped });
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
