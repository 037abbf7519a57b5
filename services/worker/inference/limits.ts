import type { InferCost } from "#lib/api/kserve/infer-cost";
import type { PlaceLimits } from "./places.ts";

/** Bounds of a worker of tensors. */
export interface TensorWorkerLimits extends PlaceLimits {
  /** Bytes of tensors that all open requests bring; one more request is refused with OVERLOADED, unless it is alone. */
  readonly maxBytes: number;
  /** Requests of one stream that have not ended; what follows waits until one of them has. */
  readonly mostOnStream: number;
  /** What reading a request may cost, in parts that are not raw: one beyond is refused with INVALID_ARGUMENT unread. */
  readonly cost: InferCost;
  /** A stream that nobody reads for so long, while answers wait for it, is ended with SLOW_CLIENT. */
  readonly slowMs: number;
}

/** What holds unless options say otherwise. */
export const TENSOR_WORKER_LIMITS: TensorWorkerLimits = {
  maxRunning: 32,
  maxWaiting: 1_024,
  maxBytes: 512 * 1024 * 1024,
  mostOnStream: 64,
  // Some milliseconds, in which nothing else is answered.
  cost: { fields: 8_192, numbers: 65_536 },
  slowMs: 30_000,
};
