import { reportToParent } from "../children.ts";
import type { Command, CommandContext } from "../command.ts";
import { openWorker } from "../compose/worker.ts";

/** `stator worker`: one engine behind the worker's contracts. */
export const worker: Command = {
  name: "worker",
  arguments: "",
  summary: "one worker: an engine behind the link, openengine.v1 and artifacts",
  help:
    "Loads a model, registers with --discovery and serves stator.worker.v1 and openengine.v1 on its gRPC port, with\n" +
    "health and reflection. Without --discovery it serves its port alone, for clients that know it.",
  options: [
    "engine",
    "model",
    "model-name",
    "discovery",
    "lease-ms",
    "grpc.host",
    "grpc.port",
    "advertise-host",
    "metrics.port",
    "llama.context-tokens",
    "llama.max-running",
    "llama.max-waiting",
    "llama.batch-tokens",
    "llama.threads",
    "llama.gpu-layers",
    "llama.kv-type",
    "mock.speed",
    "mock.max-running",
    "mock.total-blocks",
    "mock.step-tokens",
    "tls.cert",
    "tls.key",
    "tls.ca",
    "insecure-listen",
    "drain-ms",
    "trace.endpoint",
  ],
  run: runWorker,
};

async function runWorker(context: CommandContext): Promise<number> {
  const { values, isChild, print, stopped } = context;
  const opened = await openWorker(context, (fraction) =>
    reportToParent({ type: "progress", phase: "loading", fraction }),
  );
  const { card } = opened.engine;
  const detail = card.model;
  reportToParent({ type: "ready", address: opened.address, detail });
  if (!isChild) print(`${card.engine} worker serves ${card.model} on ${opened.address}. Ctrl-C drains it.`);
  await Promise.race([stopped, opened.failed]);
  await opened.drain(values["drain-ms"]);
  return opened.hasFailed ? 1 : 0;
}
