import type { InferParameter } from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import { createParameter, type Parameters, SHARED_MEMORY } from "./parameters.ts";

/** Where a tensor is that does not travel with its message: part of a region of shared memory. */
export interface RegionPart {
  /** Name under which the region was registered. */
  readonly region: string;
  /** Where the tensor begins in the region, in bytes. */
  readonly offsetBytes: number;
  /** Length of an input, and the most that an output may take, in bytes. */
  readonly lengthBytes: number;
}

const NAMES: ReadonlySet<string> = new Set(Object.values(SHARED_MEMORY));

/**
 * The part that a tensor's parameters name, or undefined when they name none. The offset is 0 unless given. Throws
 * INVALID_ARGUMENT for a region without a length, for a length or an offset without a region, and for values of another
 * type or that no region has; `tensor` is what its sentence calls the tensor.
 */
export function readRegionPart(parameters: Parameters, tensor: string): RegionPart | undefined {
  const { region: named, offset, size: length } = SHARED_MEMORY;
  const region = own(parameters, named);
  if (region === undefined) {
    const stray = [length, offset].find((name) => own(parameters, name) !== undefined);
    if (stray === undefined) return undefined;
    throw invalid(tensor, stray, `means nothing without ${named}`);
  }
  const { parameterChoice: value } = region;
  if (value.case !== "stringParam" || value.value === "") throw invalid(tensor, named, "expected the name of a region");
  const lengthBytes = readBytes(parameters, length, tensor);
  if (lengthBytes === undefined) throw invalid(tensor, length, `expected, since ${named} is given`);
  return { region: value.value, offsetBytes: readBytes(parameters, offset, tensor) ?? 0, lengthBytes };
}

/** The parameters without those that name a part of a region: the same object when there are none of these. */
export function withoutRegionPart(parameters: { [name: string]: InferParameter }): { [name: string]: InferParameter } {
  if (!Object.keys(parameters).some((name) => NAMES.has(name))) return parameters;
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !NAMES.has(name)));
}

/** Parameters that name a part: what `readRegionPart` reads. */
export function printRegionPart({ region, offsetBytes, lengthBytes }: RegionPart): { [name: string]: InferParameter } {
  return {
    [SHARED_MEMORY.region]: createParameter(region),
    [SHARED_MEMORY.size]: createParameter(lengthBytes),
    [SHARED_MEMORY.offset]: createParameter(offsetBytes),
  };
}

/** A parameter that is there, whatever every object has. */
function own(parameters: Parameters, name: string): InferParameter | undefined {
  return Object.hasOwn(parameters, name) ? parameters[name] : undefined;
}

function readBytes(parameters: Parameters, name: string, tensor: string): number | undefined {
  const { parameterChoice: value } = own(parameters, name) ?? {};
  if (value === undefined) return undefined;
  const isWhole = value.case === "int64Param" || value.case === "uint64Param";
  if (isWhole && value.value >= 0n && value.value <= Number.MAX_SAFE_INTEGER) return Number(value.value);
  throw invalid(tensor, name, "expected a number of bytes");
}

function invalid(tensor: string, name: string, detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: `${tensor}: ${name}: ${detail}` }, { param: name });
}
