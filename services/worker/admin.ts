import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { requireAbility } from "#lib/engines/ability";
import type { Engine } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";
import type { AdapterCalls } from "./openengine/adapters.ts";

/** stator.worker.v1.WorkerAdminService over a worker's engine and its adapters; `engineOf` throws when there is none. */
export function createAdminService(engineOf: () => Engine, adapters: AdapterCalls): ServedService {
  return createService(WorkerAdminService, {
    clearCache() {
      const { cleared, kept } = requireAbility(engineOf(), "cache").clear();
      return { clearedBlocks: BigInt(cleared), keptBlocks: BigInt(kept) };
    },
    listAdapters: () => adapters.listNames(),
    loadAdapter: ({ name }) => adapters.loadNamed(name),
    async unloadAdapter({ name }) {
      await adapters.unload(name);
      return {};
    },
  });
}
