import type { SessionState } from "#lib/rpc/channel";
import type { ByteTransport } from "#lib/rpc/transport";

/** The way to whoever answers tensors for a worker, such as a `Channel`: a session of its own, made again after a loss. */
export interface TensorWay extends ByteTransport {
  /** Calls on it that have not ended. */
  readonly openCalls: number;
  /** Connects, and tells of the session at every change until the way is closed, never from inside. Once. */
  watch(tell: (state: SessionState) => void): void;
}
