import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { StatorError } from "#lib/base/errors";
import type { Engine } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";

/** stator.worker.v1.WorkerAdminService over a worker's engine; `engineOf` throws when there is none. */
export function createAdminService(engineOf: () => Engine): ServedService {
  return createService(WorkerAdminService, {
    clearCache() {
      const { cache, card } = engineOf();
      if (!cache) {
        const detail = `the engine ${card.engine} does not let others do that`;
        throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Clearing the cache", detail });
      }
      const { cleared, kept } = cache.clear();
      return { clearedBlocks: BigInt(cleared), keptBlocks: BigInt(kept) };
    },
  });
}
