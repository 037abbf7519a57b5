import { DiscoveryService } from "#gen/stator/discovery/v1/discovery_pb";
import { createService, type ServedService } from "#lib/rpc/service";
import { storedRecord, wireRecord } from "./codec.ts";
import type { StoreHost } from "./store-host.ts";

/** The store as stator.discovery.v1.DiscoveryService, for any binding of `#lib/rpc`. Borrows the store. */
export function createDiscoveryService(host: StoreHost): ServedService {
  const wire = (held: ReturnType<StoreHost["list"]>) =>
    held.map(({ record, revision }) => wireRecord(record, revision));
  return createService(DiscoveryService, {
    grantLease: ({ ttlMs }) => ({ leaseId: host.grant(ttlMs), ttlMs, storeIncarnation: host.incarnation }),
    keepAlive: ({ leaseId }) => ({ ttlMs: host.keepAlive(leaseId) }),
    revokeLease({ leaseId }) {
      host.revoke(leaseId);
      return {};
    },
    put({ leaseId, records }) {
      host.put(leaseId, records.map(storedRecord));
      return { revision: host.revision };
    },
    remove({ leaseId, keys }) {
      host.remove(leaseId, keys);
      return { revision: host.revision };
    },
    list({ prefix }) {
      return { records: wire(host.list(prefix)), revision: host.revision, storeIncarnation: host.incarnation };
    },
    async *watch({ prefix, afterRevision, storeIncarnation }, call) {
      const after = { revision: afterRevision, incarnation: storeIncarnation };
      for await (const { snapshot, upserts, removed, revision } of host.watch(prefix, after, call.signal)) {
        const { incarnation } = host;
        yield { snapshot, upserts: wire([...upserts]), removed: [...removed], revision, storeIncarnation: incarnation };
      }
    },
  });
}
