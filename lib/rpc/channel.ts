import type { DescMessage, DescMethod, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { connectivityState, Channel as GrpcChannel } from "@grpc/grpc-js";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { ClientCall } from "./client-call.ts";
import { type Credentials, dialCredentials } from "./credentials.ts";
import { ByteCoding, type Coding, MessageCoding } from "./serialize.ts";
import { pathOf } from "./service.ts";
import { CLIENT_OPTIONS, MESSAGE_LIMIT_BYTES, receiveLimit, silenceGrpc } from "./settings.ts";
import type { DuplexChannel } from "./stream.ts";
import type { ByteTransport, CallOptions, MethodOf } from "./transport.ts";
import { unaryOver } from "./unary.ts";

/** How a session is: it is being made, stands, or could not be made and is tried again. */
export type SessionState = "connecting" | "ready" | "failing";

/** A session of its own to one server, over gRPC. It connects at the first call and again after a loss. */
export class Channel implements ByteTransport {
  readonly target: string;
  readonly #channel: GrpcChannel;
  readonly #clock: Clock;
  readonly #limitBytes: number;
  readonly #open = new Set<Pick<ClientCall<never, never>, "end">>();
  #closed = false;

  /**
   * `target` is host:port, [v6]:port or unix:path. No message is longer than `messageBytes`, sent or received. Throws
   * BAD_CONFIG for loopback plaintext to elsewhere.
   */
  constructor(
    target: string,
    credentials: Credentials,
    clock: Clock,
    { messageBytes = MESSAGE_LIMIT_BYTES }: { readonly messageBytes?: number } = {},
  ) {
    silenceGrpc();
    const dial = dialCredentials(credentials, target);
    this.target = target;
    this.#clock = clock;
    this.#limitBytes = messageBytes;
    const options = { ...CLIENT_OPTIONS, ...receiveLimit(messageBytes), ...dial.options };
    this.#channel = new GrpcChannel(target, dial.credentials, options);
  }

  /** Calls that are open. */
  get openCalls(): number {
    return this.#open.size;
  }

  open<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    options: CallOptions = {},
  ): DuplexChannel<MessageShape<I>, MessageShape<O>> {
    return this.#call(
      method,
      options,
      new MessageCoding(method.input, method.output, { limitBytes: this.#limitBytes }),
    );
  }

  openBytes(method: DescMethod, options: CallOptions = {}): DuplexChannel<Uint8Array, Uint8Array> {
    return this.#call(method, options, new ByteCoding(method.input, this.#limitBytes));
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>> {
    return unaryOver(this, { method, request, options });
  }

  #call<Out, In>(method: DescMethod, options: CallOptions, coding: Coding<Out, In>): DuplexChannel<Out, In> {
    if (this.#closed) throw new StatorError("UNAVAILABLE", { what: this.target, detail: "the channel is closed" });
    const call = new ClientCall<Out, In>(this.#channel, {
      ...options,
      path: pathOf(method),
      coding,
      target: this.target,
      clock: this.#clock,
      onOver: () => void this.#open.delete(call),
    });
    this.#open.add(call);
    return call;
  }

  /** Waits until the session stands. UNAVAILABLE when it does not after so long. */
  async ready(timeoutMs: number): Promise<void> {
    const untilMs = this.#clock.unixMs() + timeoutMs;
    for (;;) {
      const state = this.#channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      await new Promise<void>((resolve, reject) => {
        this.#channel.watchConnectivityState(state, untilMs, (error) => {
          if (!error) return resolve();
          reject(new StatorError("UNAVAILABLE", { what: this.target, detail: `no connection in ${timeoutMs} ms` }));
        });
      });
    }
  }

  /**
   * Connects, and tells how the session is, now and at every change until the channel is closed; never from inside. One
   * that is lost is made again without a call.
   */
  watch(tell: (state: SessionState) => void): void {
    const look = (): void => {
      if (this.#closed) return;
      const state = this.#channel.getConnectivityState(true);
      tell(sessionOf(state));
      this.#channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
    };
    this.#clock.soon(look);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const error = new StatorError("UNAVAILABLE", { what: this.target, detail: "the channel was closed" });
    for (const call of [...this.#open]) call.end(error);
    this.#channel.close();
  }
}

function sessionOf(state: connectivityState): SessionState {
  if (state === connectivityState.READY) return "ready";
  return state === connectivityState.TRANSIENT_FAILURE ? "failing" : "connecting";
}
