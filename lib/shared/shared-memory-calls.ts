import type { MessageInitShape } from "@bufbuild/protobuf";
import type {
  CudaSharedMemoryRegisterRequest,
  CudaSharedMemoryStatusRequest,
  CudaSharedMemoryStatusResponseSchema,
  SystemSharedMemoryRegisterRequest,
  SystemSharedMemoryStatusRequest,
  SystemSharedMemoryStatusResponse,
  SystemSharedMemoryStatusResponseSchema,
  SystemSharedMemoryUnregisterRequest,
} from "#gen/inference/shared_memory_pb";
import { StatorError } from "#lib/base/errors";
import type { RegionDescription } from "./region.ts";
import type { SharedRegions } from "./shared-regions.ts";

/** The fields of a request, whoever made them: a call over gRPC or an exchange over HTTP. */
type Fields<Request> = Omit<Request, "$typeName" | "$unknown">;

/** An answer without fields. */
type Nothing = Readonly<Record<string, never>>;

/** What operators do with shared memory, by the names of the methods of GRPCInferenceService. */
export interface SharedMemoryCalls {
  /** All regions, or the one that is named. NOT_FOUND when there is none of this name. */
  systemSharedMemoryStatus(
    request: Fields<SystemSharedMemoryStatusRequest>,
  ): MessageInitShape<typeof SystemSharedMemoryStatusResponseSchema>;
  /** As `SharedRegions.register`. */
  systemSharedMemoryRegister(request: Fields<SystemSharedMemoryRegisterRequest>): Nothing;
  /** Forgets one region, or all when none is named. A name that nobody has is forgotten already. */
  systemSharedMemoryUnregister(request: Fields<SystemSharedMemoryUnregisterRequest>): Nothing;
  /** There are never any: nothing when none is named, else NOT_FOUND. */
  cudaSharedMemoryStatus(
    request: Fields<CudaSharedMemoryStatusRequest>,
  ): MessageInitShape<typeof CudaSharedMemoryStatusResponseSchema>;
  /** Refuses with UNSUPPORTED_FEATURE and says why. */
  cudaSharedMemoryRegister(request: Fields<CudaSharedMemoryRegisterRequest>): Nothing;
  /** Nothing is there to be forgotten; clients say it before they begin. */
  cudaSharedMemoryUnregister(): Nothing;
}

/** The calls about shared memory over the regions of a process, which are borrowed. */
export function createSharedMemoryCalls(regions: SharedRegions): SharedMemoryCalls {
  return {
    systemSharedMemoryStatus({ name }) {
      const found = name === "" ? regions.list() : [regions.find(name)];
      return { regions: Object.fromEntries(found.map((region) => [region.name, printRegion(region)])) };
    },
    systemSharedMemoryRegister({ name, key, offset, byteSize }) {
      // What is beyond the whole numbers of JavaScript is refused there: no object is so long.
      regions.register({ name, key, offsetBytes: Number(offset), lengthBytes: Number(byteSize) });
      return {};
    },
    systemSharedMemoryUnregister({ name }) {
      if (name === "") regions.clear();
      else regions.unregister(name);
      return {};
    },
    cudaSharedMemoryStatus({ name }) {
      if (name !== "") throw new StatorError("NOT_FOUND", { what: `The CUDA shared memory region ${name}` });
      return { regions: {} };
    },
    cudaSharedMemoryRegister({ name }) {
      throw new StatorError("UNSUPPORTED_FEATURE", {
        feature: "CUDA shared memory",
        detail: `the region ${name} is not registered, since this process uses no GPU; system shared memory is there`,
      });
    },
    cudaSharedMemoryUnregister: () => ({}),
  };
}

function printRegion({
  name,
  key,
  offsetBytes,
  lengthBytes,
}: RegionDescription): Omit<SystemSharedMemoryStatusResponse["regions"][string], "$typeName"> {
  return { name, key, offset: BigInt(offsetBytes), byteSize: BigInt(lengthBytes) };
}
