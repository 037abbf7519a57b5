import { type ChannelInterface, type StatusObject, status } from "@grpc/grpc-js";
import type { Clock } from "#lib/base/clock";
import { asStatorError, assert, StatorError } from "#lib/base/errors";
import { fromStatus, STATUS_TRAILER } from "./error-detail.ts";
import { fromGrpcMetadata, toGrpcMetadata } from "./grpc-metadata.ts";
import { SendQueue } from "./send-queue.ts";
import type { Coding } from "./serialize.ts";
import type { DuplexChannel, StreamHandlers } from "./stream.ts";
import type { CallOptions } from "./transport.ts";

type GrpcCall = ReturnType<ChannelInterface["createCall"]>;

/** What is called and how, by which clock. */
export interface ClientCallOptions<Out, In> extends CallOptions {
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The call's own. */
  readonly coding: Coding<Out, In>;
  /** Whom the channel reaches, for errors. */
  readonly target: string;
  /** Borrowed; the deadline goes by it. */
  readonly clock: Clock;
  /** Called once, when nothing more comes. */
  onOver(): void;
}

/** One call of a client on grpc-js's own call object, below its stream classes: bytes in, bytes out, one message a read. */
export class ClientCall<Out, In> implements DuplexChannel<Out, In> {
  readonly #options: ClientCallOptions<Out, In>;
  readonly #call: GrpcCall;
  readonly #queue: SendQueue;
  #handlers: StreamHandlers<In> | undefined;
  /** Set when the call is over; delivered when somebody receives. */
  #end: { readonly error: StatorError | undefined } | undefined;
  #localError: StatorError | undefined;
  #delivered = false;
  /** The server has begun to answer. */
  #heard = false;
  #reading = false;
  #paused = false;

  constructor(channel: ChannelInterface, options: ClientCallOptions<Out, In>) {
    this.#options = options;
    const deadline =
      options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : options.clock.unixMs() + options.timeoutMs;
    this.#call = channel.createCall(options.path, deadline, null, null, null);
    const context = {
      write: (message: Buffer, callback: () => void) => this.#call.sendMessageWithContext({ callback }, message),
    };
    this.#queue = new SendQueue({ write: context.write, finish: () => this.#call.halfClose() }, () =>
      this.#handlers?.onDrain?.(),
    );
    this.#call.start(toGrpcMetadata(options.metadata ?? {}), {
      onReceiveMetadata: (headers) => {
        this.#heard = true;
        options.onHeaders?.(fromGrpcMetadata(headers));
      },
      onReceiveMessage: (message) => this.#receive(message),
      onReceiveStatus: (received) => this.#over(received),
    });
    if (options.signal?.aborted) this.#onAbort();
    else options.signal?.addEventListener("abort", this.#onAbort);
  }

  get bufferedBytes(): number {
    return this.#queue.bufferedBytes;
  }

  send(message: Out): boolean {
    if (this.#end || this.#localError) return true;
    try {
      return this.#queue.push(this.#options.coding.serialize(message));
    } catch (caught) {
      this.end(asStatorError(caught));
      return true;
    }
  }

  receive(handlers: StreamHandlers<In>): void {
    assert(!this.#handlers, "a channel has one receiver");
    this.#handlers = handlers;
    if (this.#end) this.#options.clock.soon(() => this.#deliverEnd());
    else this.#read();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#handlers) this.#read();
  }

  end(error?: StatorError): void {
    if (this.#end || this.#localError) return;
    if (!error) {
      this.#queue.end();
      return;
    }
    this.#localError = error;
    this.#queue.clear();
    this.#call.cancelWithStatus(status.CANCELLED, "");
    // A call that is cancelled in the turn in which it was started has no stream yet, and grpc-js opens one all the same.
    this.#options.clock.soon(() => this.#call.cancelWithStatus(status.CANCELLED, ""));
  }

  #read(): void {
    if (this.#reading || this.#paused || this.#end) return;
    this.#reading = true;
    this.#call.startRead();
  }

  #receive(bytes: Buffer): void {
    this.#reading = false;
    if (this.#localError) return;
    try {
      this.#handlers?.onMessage(this.#options.coding.parse(bytes));
    } catch (caught) {
      this.end(asStatorError(caught));
      return;
    }
    this.#read();
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#options.signal?.reason;
    this.end(reason instanceof StatorError ? reason : new StatorError("CANCELLED", {}, { cause: reason }));
  };

  #over(received: StatusObject): void {
    this.#queue.clear();
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#options.onTrailers?.(fromGrpcMetadata(received.metadata));
    this.#end = { error: this.#localError ?? this.#errorOf(received) };
    this.#options.onOver();
    if (this.#handlers) this.#deliverEnd();
  }

  #errorOf({ code, details, metadata }: StatusObject): StatorError | undefined {
    if (code === status.OK) return undefined;
    const { target, path, timeoutMs } = this.#options;
    const [trailer] = metadata.get(STATUS_TRAILER);
    if (code === status.DEADLINE_EXCEEDED && !trailer) return new StatorError("DEADLINE", { deadlineMs: timeoutMs });
    return fromStatus({
      code,
      details,
      trailer: trailer instanceof Uint8Array ? trailer : undefined,
      target,
      method: path,
      // A status without an answer before it comes with headers, and grpc-js's own has none.
      heard: this.#heard || Object.keys(metadata.getMap()).length > 0,
    });
  }

  #deliverEnd(): void {
    if (this.#delivered || !this.#handlers || !this.#end) return;
    this.#delivered = true;
    this.#handlers.onEnd(this.#end.error);
  }
}
