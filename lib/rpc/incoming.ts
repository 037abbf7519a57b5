import type { DescMethod } from "@bufbuild/protobuf";
import { Metadata as GrpcMetadata, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Access } from "#gen/stator/common/v1/common_pb";
import type { Clock } from "#lib/base/clock";
import { asStatorError, assert, type StatorError } from "#lib/base/errors";
import { Abort, abortReason, type Peer, type ServerCall } from "./call.ts";
import { STATUS_TRAILER, statusOf } from "./error-detail.ts";
import { fromGrpcMetadata, toGrpcMetadata } from "./grpc-metadata.ts";
import type { Metadata, MetadataInit } from "./metadata.ts";
import { SendQueue } from "./send-queue.ts";
import type { Coding } from "./serialize.ts";
import type { ServedMethod } from "./service.ts";
import type { DuplexChannel, StreamHandlers } from "./stream.ts";

/** A call of any kind as grpc-js hands it to a server: bytes in, bytes out. */
export type GrpcServerCall = ServerDuplexStream<Buffer, Buffer>;

/** What a handler sees of a call over gRPC. */
export class IncomingCall implements ServerCall {
  readonly abort = new Abort();
  readonly clock: Clock;
  readonly startedUnixMs: number;
  readonly #served: ServedMethod;
  readonly #call: GrpcServerCall;
  #peer: Peer | undefined;
  trailers: MetadataInit = {};

  constructor(served: ServedMethod, call: GrpcServerCall, clock: Clock) {
    this.#served = served;
    this.#call = call;
    this.clock = clock;
    this.startedUnixMs = clock.unixMs();
  }

  get method(): DescMethod {
    return this.#served.method;
  }

  get access(): Access {
    return this.#served.access;
  }

  get peer(): Peer {
    if (!this.#peer) {
      // Only a listener with mutual TLS asks for one, and it ends connections whose certificate is not signed.
      const certificate = this.#call.getAuthContext().sslPeerCertificate;
      const name = certificate?.subject.CN;
      const subject = Array.isArray(name) ? name[0] : name;
      this.#peer = { address: this.#call.getPeer(), binding: "grpc", proven: certificate !== undefined, subject };
    }
    return this.#peer;
  }

  get metadata(): Metadata {
    return fromGrpcMetadata(this.#call.metadata);
  }

  get deadlineUnixMs(): number | undefined {
    const deadline = Number(this.#call.getDeadline());
    return Number.isFinite(deadline) ? deadline : undefined;
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  sendHeaders(headers: MetadataInit): void {
    this.#call.sendMetadata(toGrpcMetadata(headers));
  }

  setTrailers(trailers: MetadataInit): void {
    this.trailers = { ...this.trailers, ...trailers };
  }
}

/** What the server's end of a call is made of. */
export interface IncomingParts<Out, In> {
  /** The call as its handler sees it; its trailers go out with the status. */
  readonly context: IncomingCall;
  /** The call's own. */
  readonly coding: Coding<Out, In>;
  /** Called once, when the call is over, with why it failed. */
  onOver(error: StatorError | undefined): void;
}

/** The server's end of a call over grpc-js. */
export class IncomingChannel<Out, In> implements DuplexChannel<Out, In> {
  readonly #call: GrpcServerCall;
  readonly #context: IncomingCall;
  readonly #parts: IncomingParts<Out, In>;
  readonly #queue: SendQueue;
  #handlers: StreamHandlers<In> | undefined;
  /** Set by the own end. */
  #ended: { readonly error: StatorError | undefined } | undefined;
  #over = false;
  /** Why the call failed, once it is over. */
  #result: StatorError | undefined;
  /** The receiving half is done and was told so. */
  #delivered = false;
  /** The next message is to be asked for. */
  #wants = true;
  #asking = false;
  #paused = false;

  constructor(call: GrpcServerCall, parts: IncomingParts<Out, In>) {
    this.#call = call;
    this.#context = parts.context;
    this.#parts = parts;
    const write = (bytes: Buffer, done: () => void) => void call.write(bytes, done);
    this.#queue = new SendQueue({ write, finish: () => this.#finish() }, () => this.#handlers?.onDrain?.());
    // grpc-js says "cancelled" once when a call is over, however it ended.
    call.on("cancelled", () => this.#close());
  }

  get bufferedBytes(): number {
    return this.#queue.bufferedBytes;
  }

  send(message: Out): boolean {
    if (this.#ended || this.#over) return true;
    try {
      return this.#queue.push(this.#parts.coding.serialize(message));
    } catch (caught) {
      this.end(asStatorError(caught));
      return true;
    }
  }

  receive(handlers: StreamHandlers<In>): void {
    assert(!this.#handlers, "a channel has one receiver");
    this.#handlers = handlers;
    if (this.#over) {
      this.#context.clock.soon(() => this.#deliverEnd(this.#result));
      return;
    }
    this.#takeMessages();
    // A lost connection or a reset ends the stream too, some ticks before grpc-js says that the call is cancelled: let that come first.
    this.#call.on("end", () => this.#context.clock.soon(() => this.#deliverEnd(undefined)));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#handlers) this.#ask();
  }

  end(error?: StatorError): void {
    if (this.#ended || this.#over) return;
    this.#ended = { error };
    if (!error) {
      this.#queue.end();
      return;
    }
    this.#queue.clear();
    const { code, details, trailer } = statusOf(error);
    const metadata = toGrpcMetadata(this.#context.trailers);
    metadata.set(STATUS_TRAILER, Buffer.from(trailer));
    this.#call.emit("error", { code, details, metadata });
  }

  #finish(): void {
    const { trailers } = this.#context;
    this.#call.end(Object.keys(trailers).length > 0 ? toGrpcMetadata(trailers) : new GrpcMetadata());
  }

  /**
   * grpc-js pushes each message into the call as a node stream, which would hand it on a tick later and count it in its
   * buffer. Messages are taken at the push instead, one a read; only the end goes the stream's way.
   */
  #takeMessages(): void {
    const call = this.#call;
    const push = call.push.bind(call);
    call.push = (bytes: Buffer | null) => {
      if (bytes === null) {
        const more = push(null);
        call.resume();
        return more;
      }
      this.#receive(bytes);
      this.#wants = true;
      this.#ask();
      return true;
    };
    this.#ask();
  }

  /** A loop, because what was read already is pushed from inside `_read`. */
  #ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    while (this.#wants && !this.#paused && !this.#over) {
      this.#wants = false;
      this.#call._read(0);
    }
    this.#asking = false;
  }

  #receive(bytes: Buffer): void {
    if (this.#ended || this.#over) return;
    try {
      this.#handlers?.onMessage(this.#parts.coding.parse(bytes));
    } catch (caught) {
      this.end(asStatorError(caught));
    }
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#queue.clear();
    if (this.#ended) this.#result = this.#ended.error;
    else {
      this.#result = abortReason(this.#context, this.#context.clock.unixMs());
      this.#context.abort.raise(this.#result);
    }
    this.#deliverEnd(this.#result);
    this.#parts.onOver(this.#result);
  }

  #deliverEnd(error: StatorError | undefined): void {
    if (this.#delivered || !this.#handlers) return;
    this.#delivered = true;
    this.#handlers.onEnd(error);
  }
}
