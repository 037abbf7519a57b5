import { integer, type Options, type Values } from "#lib/base/option";
import { TENSOR_WORKER_LIMITS, type TensorWorkerLimits } from "./limits.ts";

/** What is decided for a worker of tensors. */
export const TENSOR_OPTIONS = {
  "tensor.max-running": integer({
    initial: TENSOR_WORKER_LIMITS.maxRunning,
    least: 1,
    most: 65_536,
    placeholder: "COUNT",
    doc: "Requests that the models of a worker of tensors compute side by side.",
  }),
  "tensor.max-waiting": integer({
    initial: TENSOR_WORKER_LIMITS.maxWaiting,
    least: 0,
    most: 1_048_576,
    placeholder: "COUNT",
    doc: "Requests that may wait for a place there; one more is refused.",
  }),
  "tensor.max-bytes": integer({
    initial: TENSOR_WORKER_LIMITS.maxBytes,
    least: 1,
    most: 1_099_511_627_776,
    unit: "bytes",
    doc: "Bytes of tensors that all requests of such a worker bring at once; one more is refused, unless it is alone.",
  }),
} as const satisfies Options;

/** The bounds of a worker of tensors as the options say. */
export function readTensorLimits(values: Values<typeof TENSOR_OPTIONS>): Partial<TensorWorkerLimits> {
  return {
    maxRunning: values["tensor.max-running"],
    maxWaiting: values["tensor.max-waiting"],
    maxBytes: values["tensor.max-bytes"],
  };
}
