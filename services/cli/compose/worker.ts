import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import type { Engine } from "#lib/engines/engine";
import { loadNative } from "#lib/native/addon";
import { TRANSFER_INSTRUMENTS } from "#lib/transfer/instruments";
import { WORKER_INSTRUMENTS } from "#services/worker/metrics";
import { createAdapterFolder } from "#services/worker/openengine/adapter-folder";
import { createWorker } from "#services/worker/worker";
import type { CommandContext, ProcessContext } from "../command.ts";
import { VERSION } from "../version.ts";
import type { EngineRecipe } from "./engine-recipe.ts";
import { openProcess } from "./process.ts";
import { openTransfer } from "./transfer.ts";

/** A worker process that serves. */
export interface OpenedWorker {
  /** It is open; the worker closes it. */
  readonly engine: Engine;
  /** host:port of its gRPC port. */
  readonly address: string;
  /** Resolves when the engine cannot go on. */
  readonly failed: Promise<void>;
  /** Whether `failed` has resolved. */
  readonly hasFailed: boolean;
  /** Finishes what runs, for so long at most, and closes the worker and its engine. */
  drain(deadlineMs: number): Promise<void>;
}

/** What a worker is opened with, beside the options. */
export interface WorkerParts extends Pick<CommandContext, "stopped"> {
  /** How its engine is opened; it is opened once. */
  readonly recipe: EngineRecipe;
  /** Told how much of the model is loaded, 0 to 1. */
  readonly onProgress: (fraction: number) => void;
}

/**
 * Wires a worker: engine, links, openengine.v1, artifacts, health, reflection, discovery. The scope owns all of it. A stop
 * while the model loads ends the loading, and there is no worker then.
 */
export async function openWorker(context: ProcessContext, parts: WorkerParts): Promise<OpenedWorker | undefined> {
  const { values, scope } = context;
  const { recipe, onProgress, stopped } = parts;
  const process = openProcess(context, {
    role: "worker",
    instruments: [DISCOVERY_INSTRUMENTS, WORKER_INSTRUMENTS, TRANSFER_INSTRUMENTS],
    listen: { host: values["grpc.host"], port: values["grpc.port"], flag: "--grpc-port" },
  });
  const discovery = await process.discover(values.discovery ?? "memory:");
  const failure = Promise.withResolvers<void>();
  let failed = false;
  const worker = createWorker({
    ...process,
    tracer: await process.openTracer(),
    openEngine: recipe.open,
    discovery,
    leaseMs: values["lease-ms"],
    adapterFolder: createAdapterFolder(values["adapter-folder"]),
    version: VERSION,
    engineName: recipe.engine,
    models: recipe.model === "" ? [] : [recipe.model],
    aliases: recipe.aliases,
    taints: values.taints,
    role: values.role,
    drainMs: values["drain-ms"],
    transfer: await openTransfer(context, process),
    hasher: loadNative().addon,
    markersInContent: recipe.markersInContent ?? values["tokenizer.markers-in-content"],
    onState({ state }) {
      for (const { service } of worker.services) process.health.set(service.typeName, state === "ready");
      if (state === "failed") {
        failed = true;
        failure.resolve();
      }
    },
  });
  const { server, address } = await process.listen(worker.services, () => worker.state.state === "ready");
  scope.own("worker", worker);
  const engine = await Promise.race([worker.start(address, onProgress), stopped]);
  if (typeof engine === "string") return undefined;
  return {
    engine,
    address,
    failed: failure.promise,
    get hasFailed() {
      return failed;
    },
    async drain(deadlineMs) {
      await worker.drain(deadlineMs);
      await worker.close();
      await server.drain(DRAIN_CALLS_MS);
    },
  };
}

/** Time for calls that are open after all requests have ended, such as watches of health. */
const DRAIN_CALLS_MS = 250;
