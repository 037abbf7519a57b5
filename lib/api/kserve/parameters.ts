import type { InferParameter } from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";

/** Names of the parameters by which an input or an output says that its elements are in shared memory. */
export const SHARED_MEMORY = {
  /** Of the region: text. */
  region: "shared_memory_region",
  /** Where they begin in it: a whole number, 0 where it is left out. */
  offset: "shared_memory_offset",
  /** How many there are: a whole number. */
  size: "shared_memory_byte_size",
} as const;

/** Names of the parameters of models with a state between requests, which no request for tensors may have. */
export const SEQUENCE_PARAMETERS: readonly string[] = ["sequence_id", "sequence_start", "sequence_end"];

/** Why a request with one of them is refused. */
export function refusedSequence(name: string): StatorError {
  return new StatorError("UNSUPPORTED_FEATURE", { feature: name, detail: "models of sequences are not served" });
}

/** The value of a parameter. */
export type ParameterValue = boolean | bigint | number | string;

/** Parameters of a request, of an answer or of a tensor, as messages have them. */
export type Parameters = Readonly<Record<string, InferParameter>>;

/** The value of a parameter: whole numbers as bigint; undefined for one without any. */
export function parameterValue({ parameterChoice }: InferParameter): ParameterValue | undefined {
  return parameterChoice.value;
}

/** A parameter of a value: whole numbers as int64, since not every peer knows the unsigned ones; others as double. */
export function createParameter(value: ParameterValue): InferParameter {
  return { $typeName: "inference.InferParameter", parameterChoice: choose(value) };
}

function choose(value: ParameterValue): InferParameter["parameterChoice"] {
  if (typeof value === "boolean") return { case: "boolParam", value };
  if (typeof value === "string") return { case: "stringParam", value };
  if (typeof value === "bigint") return { case: "int64Param", value };
  if (Number.isSafeInteger(value)) return { case: "int64Param", value: BigInt(value) };
  return { case: "doubleParam", value };
}
