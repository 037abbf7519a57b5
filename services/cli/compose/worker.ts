import { DISCOVERY_INSTRUMENTS } from "#lib/discovery/metrics";
import { openDiscovery } from "#lib/discovery/open";
import type { Engine } from "#lib/engines/engine";
import { createMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { createHealth } from "#lib/rpc/health";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { readCredentials } from "#lib/rpc/options";
import { WORKER_INSTRUMENTS } from "#services/worker/metrics";
import { createAdapterFolder } from "#services/worker/openengine/adapter-folder";
import { createWorker } from "#services/worker/worker";
import type { CommandContext } from "../command.ts";
import { VERSION } from "../version.ts";
import { engineRecipe } from "./engine.ts";
import { openGrpcPort } from "./grpc-port.ts";
import { openMetricsPort } from "./metrics-port.ts";
import { settleMemory } from "./settle-memory.ts";
import { openTracerFor } from "./tracer.ts";

/** A worker process that serves. */
export interface OpenedWorker {
  readonly engine: Engine;
  /** host:port of its gRPC port. */
  readonly address: string;
  /** Resolves when the engine cannot go on. */
  readonly failed: Promise<void>;
  readonly hasFailed: boolean;
  drain(deadlineMs: number): Promise<void>;
}

/**
 * Wires a worker: engine, links, openengine.v1, artifacts, health, reflection, discovery. The scope owns all of it. A stop
 * while the model loads ends the loading, and there is no worker then.
 */
export async function openWorker(
  context: CommandContext,
  onProgress: (fraction: number) => void,
): Promise<OpenedWorker | undefined> {
  const { values, scope, log, stopped } = context;
  const credentials = readCredentials(values, systemClock);
  const metrics = createMetrics([RPC_INSTRUMENTS, DISCOVERY_INSTRUMENTS, WORKER_INSTRUMENTS], { processMetrics: true });
  const recipe = await engineRecipe(context);
  const deps = { clock: systemClock, chance: systemChance, log, metrics };
  const discovery = scope.own(
    "discovery",
    await openDiscovery(values.discovery ?? "memory:", { ...deps, credentials }),
  );
  const failure = Promise.withResolvers<void>();
  let failed = false;
  const health = createHealth();
  const tracer = scope.own("tracer", await openTracerFor(context, "stator-worker"));
  const worker = createWorker({
    ...deps,
    tracer,
    openEngine: recipe.open,
    discovery,
    leaseMs: values["lease-ms"],
    checkAdapterPath: createAdapterFolder(values["adapter-folder"]),
    version: VERSION,
    engineName: recipe.engine,
    models: [recipe.model],
    aliases: recipe.aliases,
    onState({ state }) {
      for (const { service } of worker.services) health.set(service.typeName, state === "ready");
      if (state === "failed") {
        failed = true;
        failure.resolve();
      }
    },
  });
  const listen = { host: values["grpc.host"], port: values["grpc.port"], flag: "--grpc-port", credentials };
  const server = await openGrpcPort({ ...listen, services: worker.services, health, clock: systemClock, log, metrics });
  scope.own("server", server);
  scope.own("worker", worker);
  scope.defer("health", () => health.close());
  const isReady = (): boolean => worker.state.state === "ready";
  await openMetricsPort(context, { host: values["grpc.host"], metrics, isReady });
  const address =
    values["advertise-host"] === undefined ? server.address : `${values["advertise-host"]}:${server.port}`;
  const engine = await Promise.race([worker.start(address, onProgress), stopped]);
  if (typeof engine === "string") return undefined;
  settleMemory();
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
