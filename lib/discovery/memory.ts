import type { ResumePoint, StoreCalls, StoreNews } from "./calls.ts";
import type { DiscoveryDeps } from "./deps.ts";
import type { Discovery } from "./discovery.ts";
import type { StoreHost } from "./store-host.ts";
import { superviseStore } from "./supervise.ts";

/** Discovery in this process: everybody who shares the store sees each other. Closing it leaves the store open. */
export function createMemoryDiscovery(host: StoreHost, deps: DiscoveryDeps): Discovery {
  return superviseStore(memoryCalls(host), deps);
}

/** The calls of whoever shares the store. */
export function memoryCalls(host: StoreHost): StoreCalls {
  return {
    store: "memory",
    place: "The discovery store of this process",
    reach: async () => {},
    grant: async (ttlMs) => ({ leaseId: host.grant(ttlMs), ttlMs, incarnation: host.incarnation }),
    keepAlive: async (leaseId) => void host.keepAlive(leaseId),
    revoke: async (leaseId) => host.revoke(leaseId),
    put: async (leaseId, records) => host.put(leaseId, records),
    remove: async (leaseId, keys) => host.remove(leaseId, keys),
    watch: (prefix, resume, signal) => watchHost(host, { prefix, resume }, signal),
    close: async () => {},
  };
}

async function* watchHost(
  host: StoreHost,
  { prefix, resume }: { prefix: string; resume: ResumePoint | undefined },
  signal: AbortSignal,
): AsyncGenerator<StoreNews> {
  const { incarnation } = host;
  for await (const delta of host.watch(prefix, resume ?? { revision: 0n, incarnation: 0n }, signal)) {
    const { snapshot, removed, revision } = delta;
    yield { snapshot, upserts: delta.upserts.map(({ record }) => record), removed, resume: { revision, incarnation } };
  }
}
