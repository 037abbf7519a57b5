import { GRPCInferenceService } from "#gen/inference/service_pb";
import type { InstanceRecord } from "#gen/stator/discovery/v1/discovery_pb";

/**
 * Where frontends dial inference.GRPCInferenceService for the models of tensors of a worker: the server that it stands in
 * front of, or itself. undefined for a worker that answers tensors nowhere: its requests go over a link.
 */
export function inferenceAddressOf({ inferenceAddress, address, services }: InstanceRecord): string | undefined {
  if (inferenceAddress !== "") return inferenceAddress;
  return services.includes(GRPCInferenceService.typeName) ? address : undefined;
}
