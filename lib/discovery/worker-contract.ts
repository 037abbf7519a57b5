import { Inference } from "#gen/openengine/v1/openengine_pb";
import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";
import { WorkerLinkService } from "#gen/stator/worker/v1/link_pb";

/** What frontends speak to a worker of token ids or of text: the link, or `openengine.v1` where it has no link. */
export type WorkerContract = "link" | "openengine";

/** What a worker is spoken to in, by the services that its record names. One that names neither is taken for one of ours. */
export function workerContractOf({ services }: Pick<InstanceRecord, "services">): WorkerContract {
  const isForeign = services.includes(Inference.typeName) && !services.includes(WorkerLinkService.typeName);
  return isForeign ? "openengine" : "link";
}
