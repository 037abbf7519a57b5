import type { Engine } from "#lib/engines/engine";
import { silentLog } from "#lib/host/log";
import { createMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { noTracer } from "#lib/host/telemetry";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { openServer } from "#lib/rpc/server";
import type { ServedService } from "#lib/rpc/service";
import { WORKER_INSTRUMENTS } from "#services/worker/metrics";
import { createWorker } from "#services/worker/worker";
import { NotedDiscovery } from "./worker-rig.ts";

/** A whole worker around an engine, in this process. */
export interface EngineServer {
  readonly services: readonly ServedService[];
  /** host:port of its gRPC port. */
  readonly address: string;
  close(): Promise<void>;
}

/** Serves an engine on a free port; it takes the engine. */
export async function openEngineServer(openEngine: () => Promise<Engine>): Promise<EngineServer> {
  const metrics = createMetrics([RPC_INSTRUMENTS, WORKER_INSTRUMENTS], { processMetrics: false });
  const deps = { clock: systemClock, log: silentLog, metrics };
  const worker = createWorker({
    ...deps,
    chance: systemChance,
    tracer: noTracer,
    openEngine,
    discovery: new NotedDiscovery(),
    leaseMs: 10_000,
    adapterFolder: { check: async () => {}, find: async (name) => `/${name}`, list: async () => [] },
    version: "0.0.0",
    engineName: "test",
    models: [],
    onState() {},
  });
  const { services } = worker;
  const server = await openServer({ ...deps, host: "127.0.0.1", port: 0, credentials: loopbackCredentials, services });
  await worker.start(server.address, () => {});
  return {
    services,
    address: server.address,
    async close() {
      await worker.close();
      await server.close();
    },
  };
}
