import type { InferParameter } from "#gen/inference/infer_pb";
import { deadlineOf } from "#lib/api/kserve/deadline";
import { refusedSequence, SEQUENCE_PARAMETERS } from "#lib/api/kserve/parameters";
import { StatorError } from "#lib/base/errors";
import type { TensorParameter } from "#lib/engines/tensor/model";

/** What a request says beside its tensors. */
export interface TensorParameters {
  /** Milliseconds after which nobody waits for the answer; undefined waits for ever. */
  readonly timeoutMs: number | undefined;
  /** Every answer on a stream says whether it is the last, and a decoupled model's requests end with an empty one. */
  readonly finalResponse: boolean;
  /** Those that the protocol does not keep for itself. */
  readonly own: Readonly<Record<string, TensorParameter>>;
}

/** Read elsewhere, or without a meaning where requests run in the order in which they come. */
const PASSED_BY: readonly string[] = [
  "priority",
  "headers",
  "binary_data_output",
  "triton_enable_empty_final_response",
];

/** Reads them. Throws UNSUPPORTED_FEATURE for those of sequences, INVALID_ARGUMENT for a value of the wrong type. */
export function readTensorParameters(given: Readonly<Record<string, InferParameter>>): TensorParameters {
  const own: Record<string, TensorParameter> = {};
  let timeoutMs: number | undefined;
  for (const [name, { parameterChoice }] of Object.entries(given)) {
    const { value } = parameterChoice;
    if (SEQUENCE_PARAMETERS.includes(name)) throw refusedSequence(name);
    if (name === "timeout") timeoutMs = readTimeout(value);
    else if (value !== undefined && !PASSED_BY.includes(name)) own[name] = value;
  }
  const final = given.triton_enable_empty_final_response?.parameterChoice;
  return { timeoutMs, finalResponse: final?.case === "boolParam" && final.value, own };
}

/** Microseconds; 0 is none. */
function readTimeout(value: TensorParameter | undefined): number | undefined {
  const micros = typeof value === "bigint" ? Number(value) : Number.NaN;
  if (!(micros >= 0)) throw new StatorError("INVALID_ARGUMENT", { detail: "timeout is a number of microseconds" });
  return deadlineOf(micros);
}
