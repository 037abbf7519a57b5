import type { DescMessage, DescMethod, DescMethodUnary, Message, MessageShape } from "@bufbuild/protobuf";
import { Access } from "#gen/stator/common/v1/common_pb";
import type { Clock, Timer } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import { ByteChannel } from "./byte-channel.ts";
import { Abort, type Peer, type ServerCall } from "./call.ts";
import { type ServerChannel, serveCall } from "./dispatch.ts";
import { freezeMessage } from "./freeze.ts";
import { type Metadata, type MetadataInit, metadataOf, noMetadata } from "./metadata.ts";
import { CallObserver, type Observed } from "./observer.ts";
import { Pipe } from "./pipe.ts";
import { methodsFor, pathOf, type ServedMethod, type ServedService } from "./service.ts";
import type { DuplexChannel } from "./stream.ts";
import type { ByteTransport, CallOptions, MethodOf } from "./transport.ts";
import { unaryOver } from "./unary.ts";

const DIRECT_PEER: Peer = { address: "direct", binding: "direct", proven: true, subject: undefined };

/** Calls services of the same process: no bytes are made, both sides hold the same message, frozen. */
export class DirectTransport implements ByteTransport {
  readonly target = "direct";
  readonly #methods: ReadonlyMap<string, ServedMethod>;
  readonly #observer: CallObserver;
  readonly #clock: Clock;
  readonly #open = new Set<DirectCall>();
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(services: readonly ServedService[], options: Observed) {
    this.#methods = new Map(methodsFor(services).map((served) => [served.path, served]));
    this.#observer = new CallObserver("direct", options);
    this.#clock = options.clock;
  }

  /** Calls that are open. */
  get openCalls(): number {
    return this.#observer.openCalls;
  }

  open<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    options: CallOptions = {},
  ): DuplexChannel<MessageShape<I>, MessageShape<O>> {
    // The method's messages are those of the served method of the same path.
    return this.#call(method, options) as unknown as DuplexChannel<MessageShape<I>, MessageShape<O>>;
  }

  openBytes(method: DescMethod, options: CallOptions = {}): DuplexChannel<Uint8Array, Uint8Array> {
    return new ByteChannel(this.#call(method, options), method.input, method.output);
  }

  #call(method: DescMethod, options: CallOptions): DuplexChannel<Message, Message> {
    if (this.#closed) throw new StatorError("UNAVAILABLE", { what: "The server", detail: "it is closed" });
    const served = this.#methods.get(pathOf(method)) ?? absent(method);
    const finished = this.#observer.begin(served);
    const call = new DirectCall(served, {
      options,
      clock: this.#clock,
      onOver: (error) => {
        this.#open.delete(call);
        finished(error);
        if (this.#open.size === 0) this.#onIdle?.();
      },
    });
    this.#open.add(call);
    call.start();
    return call.pipe.client;
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>> {
    return unaryOver(this, { method, request, options });
  }

  /** Takes no new call, waits so long for open ones, then ends them. */
  async drain(timeoutMs: number): Promise<void> {
    this.#closed = true;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(timeoutMs, resolve, { keepAlive: true });
      this.#onIdle = () => {
        timer.cancel();
        resolve();
      };
      if (this.#open.size === 0) this.#onIdle();
    });
    this.close();
  }

  close(): void {
    this.#closed = true;
    const error = new StatorError("UNAVAILABLE", { what: "The server", detail: "it was closed" });
    for (const call of [...this.#open]) call.pipe.fail(error);
  }
}

function absent(method: DescMethod): ServedMethod {
  const path = pathOf(method);
  const error = () => new StatorError("UNSUPPORTED_FEATURE", { feature: path, detail: "no such service here" });
  return { method, path, access: Access.UNSPECIFIED, handler: { kind: "refused", error } };
}

/** One direct call: what the handler sees of it, and its pipe. */
class DirectCall implements ServerCall {
  readonly peer = DIRECT_PEER;
  readonly abort = new Abort();
  readonly metadata: Metadata;
  readonly deadlineUnixMs: number | undefined;
  readonly pipe: Pipe<Message, Message>;
  readonly #served: ServedMethod;
  readonly #options: CallOptions;
  readonly #clock: Clock;
  readonly #onOver: (error: StatorError | undefined) => void;
  #timer: Timer | undefined;
  #trailers: MetadataInit = {};
  #headersSent = false;

  constructor(
    served: ServedMethod,
    {
      options,
      clock,
      onOver,
    }: { options: CallOptions; clock: Clock; onOver: (error: StatorError | undefined) => void },
  ) {
    this.#served = served;
    this.#options = options;
    this.#clock = clock;
    this.#onOver = onOver;
    this.metadata = options.metadata ? metadataOf(options.metadata) : noMetadata;
    this.pipe = new Pipe(clock, { onOver: this.#over, onMessage: freezeMessage });
    const { timeoutMs } = options;
    if (timeoutMs === undefined) return;
    this.deadlineUnixMs = clock.unixMs() + timeoutMs;
    const expired = () => this.pipe.fail(new StatorError("DEADLINE", { deadlineMs: timeoutMs }));
    this.#timer = clock.after(timeoutMs, expired, { keepAlive: true });
  }

  get method() {
    return this.#served.method;
  }

  get access() {
    return this.#served.access;
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  start(): void {
    const { signal } = this.#options;
    if (signal?.aborted) {
      this.#cancel();
      return;
    }
    signal?.addEventListener("abort", this.#cancel);
    // At the end of the turn, so that the caller holds its end before the handler runs.
    this.#clock.soon(() => {
      if (!this.pipe.over) serveCall(this.#served, this.pipe.server as ServerChannel, this);
    });
  }

  sendHeaders(headers: MetadataInit): void {
    assert(!this.#headersSent, "headers are sent once");
    this.#headersSent = true;
    this.#options.onHeaders?.(metadataOf(headers));
  }

  setTrailers(trailers: MetadataInit): void {
    this.#trailers = { ...this.#trailers, ...trailers };
  }

  readonly #cancel = (): void => {
    const reason: unknown = this.#options.signal?.reason;
    this.pipe.fail(reason instanceof StatorError ? reason : new StatorError("CANCELLED", {}, { cause: reason }));
  };

  readonly #over = (error: StatorError | undefined, forced: boolean): void => {
    this.#timer?.cancel();
    this.#options.signal?.removeEventListener("abort", this.#cancel);
    this.#options.onTrailers?.(metadataOf(this.#trailers));
    if (error && forced) this.abort.raise(error);
    this.#onOver(error);
  };
}
