import type { StatorError } from "#lib/base/errors";

/** A send buffer above this many bytes is full: `send` says false until it has drained. */
export const SEND_BUFFER_BYTES = 256 * 1024;

/** What happens to the receiving half of a channel. Called from the transport; none may throw. */
export interface StreamHandlers<In> {
  /** One message, in order. Its `bytes` fields are views into a receive buffer, usually misaligned. */
  onMessage(message: In): void;
  /**
   * Exactly once: undefined when the peer ended in order (server: half-closed; client: status OK) or after an own end in
   * order, else why the call failed. No message follows. A lost connection is never an end in order. A cancel may be: gRPC
   * clients on Node half-close before they reset, so a server that must know whether a stream is whole needs a last
   * message that says so, or the call's signal, which aborts right after.
   */
  onEnd(error: StatorError | undefined): void;
  /** The send buffer was full and is below its limit again. */
  onDrain?(): void;
}

/**
 * One call as a pair of message streams, whatever carries it: grpc-js, Connect or a direct call. Callbacks only: no
 * promise and no allocation per message beyond the message, so that a long busy stream costs little.
 */
export interface DuplexChannel<Out, In> {
  /** Takes a message, which must not change afterwards. False when the send buffer is above its limit; the message is taken all the same. Dropped after the end. */
  send(message: Out): boolean;
  /** Bytes that wait to be written. */
  readonly bufferedBytes: number;
  /** Sets who receives; once. Nothing is read before. No handler is called from inside `receive` or `send`. */
  receive(handlers: StreamHandlers<In>): void;
  /** Asks the transport to hold further messages back; a few that were read already may still come. */
  pause(): void;
  /** Ends a pause. */
  resume(): void;
  /** Ends in order after what was sent: half-close on the client, status OK on the server. With an error it ends at once. */
  end(error?: StatorError): void;
}
