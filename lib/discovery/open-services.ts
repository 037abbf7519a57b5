import type { DescService } from "@bufbuild/protobuf";
import { type Log, silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemChance, systemClock } from "#lib/host/system-clock";
import { Channel } from "#lib/rpc/channel";
import { type Credentials, loopbackCredentials } from "#lib/rpc/credentials";
import { type Announcement, type AnnounceOptions, announceServices } from "./announce.ts";
import { inNamespace } from "./namespace.ts";
import { openDiscovery } from "./open.ts";
import { createServicePool, type ServicePool } from "./service-pool.ts";

export { InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
export { StatorError } from "#lib/base/errors";
export { type Credentials, insecureCredentials, loadTls, loopbackCredentials } from "#lib/rpc/credentials";
export type { Announcement } from "./announce.ts";
export type { PoolMember, ServicePool } from "./service-pool.ts";

/** What services are announced and found with; all of it may be left out. */
export interface ServicesSurroundings {
  /** How a hub, etcd and servers are called; without them only those of this machine. */
  readonly credentials?: Credentials;
  /** Told of losses and returns; nothing is logged unless given. */
  readonly log?: Log;
  /** Those of one namespace find each other; that without a name unless given. */
  readonly namespace?: string;
}

/** What a server says of itself; `ttlMs` is 10 s unless given. */
export type ServerFacts = Pick<AnnounceOptions, "services" | "address"> &
  Partial<Pick<AnnounceOptions, "ttlMs" | "instanceId" | "version" | "weight">>;

/** Services of any kind, where processes meet. */
export interface OpenedServices {
  /** Puts a server that answers these services on the list, under a lease, until it is closed or its process is gone. */
  announce(server: ServerFacts): Promise<Announcement>;
  /** A client of a service, of whichever servers are on the list; they are called in turn. */
  find<Service extends DescService>(service: Service): Promise<ServicePool<Service>>;
  /** Takes announcements back, and ends pools and their calls. */
  close(): Promise<void>;
}

const USUAL_TTL_MS = 10_000;

/**
 * Joins those who meet at a URL of discovery: hub://HOST:PORT, file:///FOLDER or etcd://HOST:PORT. The package exports it as
 * `stator/discovery`; a service is any Protobuf service, by its descriptor. Throws BAD_CONFIG and UNAVAILABLE with what to do.
 */
export async function openServices(url: string, surroundings: ServicesSurroundings = {}): Promise<OpenedServices> {
  const { credentials = loopbackCredentials, log = silentLog, namespace = "" } = surroundings;
  const deps = { clock: systemClock, chance: systemChance, log, metrics: noMetrics, credentials };
  const discovery = inNamespace(await openDiscovery(url, deps), namespace);
  const dial = (address: string) => new Channel(address, credentials, systemClock);
  const pools: ServicePool<DescService>[] = [];
  return {
    announce: (server) => announceServices(discovery, { ttlMs: USUAL_TTL_MS, ...deps, ...server }),
    async find(service) {
      const watch = await discovery.watch("instances");
      const pool = createServicePool(service, { watch, dial, clock: systemClock });
      pools.push(pool);
      return pool;
    },
    async close() {
      for (const pool of pools.splice(0)) pool.close();
      await discovery.close();
    },
  };
}
