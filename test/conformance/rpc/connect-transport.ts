import type { DescMessage, DescMethodUnary, Message, MessageShape } from "@bufbuild/protobuf";
import { Code, type Transport as ConnectClient, ConnectError } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { ErrorDetailSchema } from "#gen/stator/common/v1/common_pb";
import { asStatorError, StatorError } from "#lib/base/errors";
import { systemClock } from "#lib/host/system-clock";
import { fromErrorDetail, fromStatus } from "#lib/rpc/error-detail";
import { DrainGate, iterate, pump } from "#lib/rpc/iterate";
import type { Metadata } from "#lib/rpc/metadata";
import { Pipe } from "#lib/rpc/pipe";
import { pathOf } from "#lib/rpc/service";
import { MESSAGE_LIMIT_BYTES } from "#lib/rpc/settings";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { CallOptions, MethodOf, Transport } from "#lib/rpc/transport";
import { unaryOver } from "#lib/rpc/unary";

/** The official Connect client behind our Transport, so that the suite can call through it. */
export class ConnectTransport implements Transport {
  readonly target: string;
  readonly #client: ConnectClient;
  readonly #session: Http2SessionManager;
  readonly #open = new Set<Pipe<Message, Message>>();

  constructor(baseUrl: string, protocol: "connect" | "grpc-web" | "grpc") {
    this.target = baseUrl;
    this.#session = new Http2SessionManager(baseUrl);
    const create = { connect: createConnectTransport, "grpc-web": createGrpcWebTransport, grpc: createGrpcTransport }[
      protocol
    ];
    this.#client = create({
      baseUrl,
      httpVersion: "2",
      sessionManager: this.#session,
      readMaxBytes: MESSAGE_LIMIT_BYTES,
      writeMaxBytes: MESSAGE_LIMIT_BYTES,
    });
  }

  open<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    options: CallOptions = {},
  ): DuplexChannel<MessageShape<I>, MessageShape<O>> {
    const abort = new AbortController();
    const gate = new DrainGate();
    const pipe = new Pipe<Message, Message>(systemClock, {
      onOver: (error) => {
        gate.close();
        if (error) abort.abort(error);
        this.#open.delete(pipe);
      },
    });
    this.#open.add(pipe);
    const cancel = () => pipe.fail(new StatorError("CANCELLED"));
    if (options.signal?.aborted) cancel();
    else options.signal?.addEventListener("abort", cancel);
    const requests = iterate(pipe.server, { onDrain: gate.drained });
    const answers = this.#call(method, requests, { ...options, signal: abort.signal });
    if (!pipe.over) pump(answers, pipe.server, { gate, toMessage: (message) => message });
    // The pipe carries the messages of this method, their types forgotten.
    return pipe.client as unknown as DuplexChannel<MessageShape<I>, MessageShape<O>>;
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>> {
    return unaryOver(this, { method, request, options });
  }

  close(): void {
    for (const pipe of [...this.#open])
      pipe.fail(new StatorError("UNAVAILABLE", { what: this.target, detail: "closed" }));
    this.#session.abort();
  }

  async *#call<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    requests: AsyncGenerator<Message>,
    options: CallOptions,
  ): AsyncGenerator<Message> {
    const { signal, timeoutMs, metadata } = options;
    try {
      if (method.methodKind === "unary") {
        const first = await requests.next();
        const answer = await this.#client.unary(method, signal, timeoutMs, metadata, first.value as MessageShape<I>);
        options.onHeaders?.(fromHeaders(answer.header));
        options.onTrailers?.(fromHeaders(answer.trailer));
        yield answer.message;
        return;
      }
      const typed = requests as AsyncGenerator<MessageShape<I>>;
      const answer = await this.#client.stream(method, signal, timeoutMs, metadata, typed);
      options.onHeaders?.(fromHeaders(answer.header));
      yield* answer.message;
      options.onTrailers?.(fromHeaders(answer.trailer));
    } catch (caught) {
      throw this.#errorOf(caught, method, options);
    }
  }

  #errorOf(caught: unknown, method: MethodOf<DescMessage, DescMessage>, options: CallOptions): StatorError {
    if (!(caught instanceof ConnectError)) return asStatorError(caught);
    const [detail] = caught.findDetails(ErrorDetailSchema);
    if (detail) return fromErrorDetail(detail);
    if (caught.code === Code.DeadlineExceeded) return new StatorError("DEADLINE", { deadlineMs: options.timeoutMs });
    const status = { code: caught.code, details: caught.rawMessage, trailer: undefined };
    return fromStatus({ ...status, target: this.target, method: pathOf(method) });
  }
}

function fromHeaders(headers: Headers): Metadata {
  const get = (name: string) => headers.get(name) ?? undefined;
  return { get, all: (name) => [get(name)].filter((value) => value !== undefined) };
}
