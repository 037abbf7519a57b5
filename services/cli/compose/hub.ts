import { createDiscoveryService } from "#lib/discovery/hub-service";
import { HUB_INSTRUMENTS } from "#lib/discovery/metrics";
import { StoreHost } from "#lib/discovery/store-host";
import type { Log } from "#lib/host/log";
import { createMetrics, type Metrics } from "#lib/host/metrics";
import type { Closable } from "#lib/host/scope";
import { systemChance, systemClock } from "#lib/host/system-clock";
import type { Credentials } from "#lib/rpc/credentials";
import { createHealth } from "#lib/rpc/health";
import { RPC_INSTRUMENTS } from "#lib/rpc/metrics";
import { openGrpcPort } from "./grpc-port.ts";

/** A hub that listens. */
export interface Hub extends Closable {
  /** host:port */
  readonly address: string;
  readonly metrics: Metrics;
}

/** Opens the memory store as a service. Throws PORT_IN_USE, UNSAFE_LISTEN. */
export async function openHub(options: {
  host: string;
  port: number;
  credentials: Credentials;
  log: Log;
}): Promise<Hub> {
  const { host, port, credentials, log } = options;
  const metrics = createMetrics([RPC_INSTRUMENTS, HUB_INSTRUMENTS], { processMetrics: true });
  const store = new StoreHost({ clock: systemClock, chance: systemChance, log, metrics });
  const discovery = createDiscoveryService(store);
  const health = createHealth();
  health.set(discovery.service.typeName, true);
  const listen = { host, port, flag: "--hub-port", credentials };
  const server = await openGrpcPort({ ...listen, services: [discovery], health, clock: systemClock, log, metrics });
  return {
    address: server.address,
    metrics,
    async close() {
      health.close();
      store.close();
      await server.close();
    },
  };
}
