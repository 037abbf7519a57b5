import type { DescMethod } from "@bufbuild/protobuf";
import type { GRPCInferenceService } from "#gen/inference/service_pb";
import { Access } from "#gen/stator/common/v1/common_pb";

type Name = keyof typeof GRPCInferenceService.method;

/** Methods that change the server or tell of its inside; the contract, which is not ours, has no option that says it. */
const OPERATORS: ReadonlySet<string> = new Set<Name>([
  "repositoryModelLoad",
  "repositoryModelUnload",
  "systemSharedMemoryStatus",
  "systemSharedMemoryRegister",
  "systemSharedMemoryUnregister",
  "cudaSharedMemoryStatus",
  "cudaSharedMemoryRegister",
  "cudaSharedMemoryUnregister",
  "traceSetting",
  "logSettings",
]);

/** Who may call a method of the service: anyone may ask for inferences and what there is. */
export function inferenceAccess({ localName }: DescMethod): Access {
  return OPERATORS.has(localName) ? Access.OPERATOR : Access.PUBLIC;
}
