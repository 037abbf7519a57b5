import { DiscoveryService, type WatchResponse } from "#gen/stator/discovery/v1/discovery_pb";
import { type Client, createClient } from "#lib/rpc/client";
import type { Transport } from "#lib/rpc/transport";
import type { ResumePoint, StoreCalls, StoreNews } from "./calls.ts";
import { storedRecord, wireRecord } from "./codec.ts";
import type { DiscoveryDeps } from "./deps.ts";
import type { Discovery } from "./discovery.ts";
import { superviseStore } from "./supervise.ts";

/** Discovery over the store that a hub serves. Takes the transport, which should be a channel of its own, and closes it. */
export function createHubDiscovery(transport: Transport, deps: DiscoveryDeps): Discovery {
  return superviseStore(createHubCalls(transport), deps);
}

/** The hub as a store. Takes the transport. */
export function createHubCalls(transport: Transport): StoreCalls {
  const client = createClient(DiscoveryService, transport);
  return {
    store: "hub",
    place: `The discovery hub at ${transport.target}`,
    // Nobody has this key: the answer is small.
    reach: async (signal) => void (await client.list({ prefix: "reach" }, { signal })),
    async grant(ttlMs, signal) {
      const granted = await client.grantLease({ ttlMs }, { signal });
      return { leaseId: granted.leaseId, ttlMs: granted.ttlMs, incarnation: granted.storeIncarnation };
    },
    keepAlive: async (leaseId, signal) => void (await client.keepAlive({ leaseId }, { signal })),
    revoke: async (leaseId, signal) => void (await client.revokeLease({ leaseId }, { signal })),
    async put(leaseId, stored, signal) {
      await client.put({ leaseId, records: stored.map((record) => wireRecord(record, 0n)) }, { signal });
    },
    remove: async (leaseId, keys, signal) => void (await client.remove({ leaseId, keys: [...keys] }, { signal })),
    watch: (prefix, resume, signal) => watchHub(client, { prefix, resume }, signal),
    close: async () => transport.close(),
  };
}

async function* watchHub(
  client: Client<typeof DiscoveryService>,
  { prefix, resume }: { prefix: string; resume: ResumePoint | undefined },
  signal: AbortSignal,
): AsyncGenerator<StoreNews> {
  const request = { prefix, afterRevision: resume?.revision ?? 0n, storeIncarnation: resume?.incarnation ?? 0n };
  for await (const response of client.watch(request, { signal })) yield newsOf(response);
}

function newsOf({ snapshot, upserts, removed, revision, storeIncarnation }: WatchResponse): StoreNews {
  return { snapshot, upserts: upserts.map(storedRecord), removed, resume: { revision, incarnation: storeIncarnation } };
}
