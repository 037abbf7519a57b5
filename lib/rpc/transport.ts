import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Metadata, MetadataInit } from "./metadata.ts";
import type { DuplexChannel } from "./stream.ts";

/** A method of any kind with these messages. */
export type MethodOf<I extends DescMessage, O extends DescMessage> =
  | DescMethodUnary<I, O>
  | DescMethodServerStreaming<I, O>
  | DescMethodClientStreaming<I, O>
  | DescMethodBiDiStreaming<I, O>;

/** How one call is made. */
export interface CallOptions {
  /** Cancels the call; the server sees it abort. */
  readonly signal?: AbortSignal;
  /** Gives up after this long, with DEADLINE. */
  readonly timeoutMs?: number;
  /** Sent before the first message. */
  readonly metadata?: MetadataInit;
  /** Response headers, before the first message. */
  onHeaders?(headers: Metadata): void;
  /** Trailers, before the end; also of a call that failed. */
  onTrailers?(trailers: Metadata): void;
}

/** A way to a server, over which calls are made. */
export interface Transport {
  /** Whom it reaches, for errors and logs. */
  readonly target: string;
  /** Opens a call of any kind as a channel. A peer that cannot be reached ends the channel with UNAVAILABLE. */
  open<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    options?: CallOptions,
  ): DuplexChannel<MessageShape<I>, MessageShape<O>>;
  /** Makes a unary call. Throws a StatorError. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>>;
  /** Ends open calls with UNAVAILABLE and gives the connection back. */
  close(): void;
}

/** A way to a server over which messages also go as they are on the wire, unread. */
export interface ByteTransport extends Transport {
  /**
   * As `open`, of any method, with each message as its bytes. Bytes that are sent must not change afterwards; bytes that
   * come are the receiver's to keep, and nobody has looked whether they are such a message.
   */
  openBytes(method: DescMethod, options?: CallOptions): DuplexChannel<Uint8Array, Uint8Array>;
}
