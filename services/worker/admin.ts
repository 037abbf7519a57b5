import { WorkerAdminService } from "#gen/stator/worker/v1/admin_pb";
import { requireAbility } from "#lib/engines/ability";
import type { Engine } from "#lib/engines/engine";
import { createService, type ServedService } from "#lib/rpc/service";
import type { AdapterCalls } from "./openengine/adapters.ts";
import type { RoleChange } from "./role-change.ts";

/** What operators act on. */
export interface AdminDeps {
  /** The worker's engine. Throws when there is none. */
  engineOf(): Engine;
  /** Those of the engine. */
  readonly adapters: AdapterCalls;
  /** The worker's. */
  readonly role: RoleChange;
}

/** stator.worker.v1.WorkerAdminService. */
export function createAdminService({ engineOf, adapters, role }: AdminDeps): ServedService {
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
    setRole: async (asked) => ({ previousRole: await role.change(asked.role, asked.drainMs) }),
  });
}
