import type { PlaceLimits } from "./places.ts";

/** Bounds of a worker of tensors. */
export interface TensorWorkerLimits extends PlaceLimits {
  /** Bytes of tensors that all open requests bring; one more request is refused with OVERLOADED, unless it is alone. */
  readonly maxBytes: number;
  /** Requests of one stream that have not ended; what follows waits until one of them has. */
  readonly mostOnStream: number;
  /** A stream that nobody reads for so long, while answers wait for it, is ended with SLOW_CLIENT. */
  readonly slowMs: number;
}

/** What holds unless options say otherwise. */
export const TENSOR_WORKER_LIMITS: TensorWorkerLimits = {
  maxRunning: 32,
  maxWaiting: 1_024,
  maxBytes: 512 * 1024 * 1024,
  mostOnStream: 64,
  slowMs: 30_000,
};
