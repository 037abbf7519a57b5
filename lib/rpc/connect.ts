import type { DescMethod, Message } from "@bufbuild/protobuf";
import {
  type Code,
  ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type MethodImpl,
} from "@connectrpc/connect";
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { type Access, ErrorDetailSchema } from "#gen/stator/common/v1/common_pb";
import type { Clock } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import { Abort, abortReason, type Peer, type ServerCall } from "./call.ts";
import { type ServerChannel, serveCall } from "./dispatch.ts";
import { errorDetail, fromStatus } from "./error-detail.ts";
import { DrainGate, iterate, pump } from "./iterate.ts";
import type { Metadata, MetadataInit } from "./metadata.ts";
import { CallObserver, type Observed } from "./observer.ts";
import type { OperatorsFrom } from "./operators.ts";
import { Pipe } from "./pipe.ts";
import { type Init, methodsFor, type ServedMethod, type ServedService } from "./service.ts";
import { MESSAGE_LIMIT_BYTES } from "./settings.ts";

/** A listener for a node:http or node:http2 server, secure or not. */
export type HttpHandler = (
  request: Parameters<typeof universalRequestFromNodeRequest>[0],
  response: Parameters<typeof universalResponseToNodeResponse>[1],
) => void;

/** What the Connect binding serves. */
export interface ConnectOptions extends Observed {
  /** All methods that there are; `allow` says which are answered. */
  readonly services: readonly ServedService[];
  /** Which methods this port answers, by who may call them. The public port allows PUBLIC alone. */
  readonly allow: readonly Access[];
  /** From where operators may call, where they are allowed; `here` unless given. */
  readonly operators?: OperatorsFrom;
  /** Answers every path that is no method; 404 by default. */
  readonly fallback?: HttpHandler;
  /** Aborts open calls when the server closes. */
  readonly shutdown?: AbortSignal;
}

const PEER_ADDRESS = createContextKey("");

/** Serves methods over the Connect, gRPC-Web and gRPC protocols on an HTTP port that has other routes too. */
export function createConnectHandler(options: ConnectOptions): HttpHandler {
  const observer = new CallObserver("connect", options);
  const { clock } = options;
  const router = createConnectRouter({
    acceptCompression: [compressionGzip],
    readMaxBytes: MESSAGE_LIMIT_BYTES,
    writeMaxBytes: MESSAGE_LIMIT_BYTES,
    shutdownSignal: options.shutdown,
  });
  for (const served of methodsFor(options.services, options)) route(router, served, { observer, clock });
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const fallback = options.fallback ?? notFound;
  return (request, response) => {
    const handler = handlers.get(request.url?.split("?", 1)[0] ?? "");
    if (!handler) {
      fallback(request, response);
      return;
    }
    const { remoteAddress, remotePort } = request.socket;
    const values = createContextValues().set(PEER_ADDRESS, `${remoteAddress}:${remotePort}`);
    handler(universalRequestFromNodeRequest(request, response, undefined, values))
      .then((answer) => universalResponseToNodeResponse(answer, response))
      // The call itself has ended and was counted; what failed is writing to a client that is gone.
      .catch((error: unknown) => options.log.debug("connect answer not written", { path: request.url, error }));
  };
}

const notFound: HttpHandler = (_, response) => {
  response.writeHead(404);
  response.end();
};

/** What every call needs. */
interface Serving {
  readonly observer: CallObserver;
  readonly clock: Clock;
}

function route(router: ConnectRouter, served: ServedMethod, serving: Serving): void {
  const { method } = served;
  const one = (request: Message, context: HandlerContext) => answer(served, once(request), { context, ...serving });
  const many = (requests: AsyncIterable<Message>, context: HandlerContext) =>
    answer(served, requests, { context, ...serving });
  const implementation: Record<DescMethod["methodKind"], unknown> = {
    unary: (request: Message, context: HandlerContext) => only(one(request, context)),
    server_streaming: one,
    client_streaming: (requests: AsyncIterable<Message>, context: HandlerContext) => only(many(requests, context)),
    bidi_streaming: many,
  };
  // The router's type asks for the function of a method whose kind is known; here it is picked by the kind at run time.
  router.rpc(method, implementation[method.methodKind] as MethodImpl<DescMethod>);
}

/** Runs a call of any kind over a pipe, with Connect's iterables at its caller's end. */
async function* answer(
  served: ServedMethod,
  requests: AsyncIterable<Message>,
  { context, observer, clock }: Serving & { readonly context: HandlerContext },
): AsyncGenerator<Message> {
  const call = new ConnectCall(served, context, clock.unixMs());
  const finished = observer.begin(served);
  const gate = new DrainGate();
  const pipe = new Pipe<Message, Message>(clock, {
    onOver(error, forced) {
      gate.close();
      if (error && forced) call.abort.raise(error);
      finished(error);
    },
  });
  const leave = () => pipe.fail(abortReason(call, clock.unixMs()));
  context.signal.addEventListener("abort", leave);
  const answers = iterate(pipe.client, { onDrain: gate.drained, onLeave: leave });
  // pump owns every error of the requests: it ends the call with it.
  pump(readable(requests, served), pipe.client, { gate, toMessage: (message) => message });
  serveCall(served, pipe.server as ServerChannel, call);
  try {
    yield* answers;
  } catch (caught) {
    throw connectError(asStatorError(caught));
  }
}

/** The requests, with Connect's own errors (a body too long, bytes that are no message) as ours. */
async function* readable(requests: AsyncIterable<Message>, { path }: ServedMethod): AsyncGenerator<Message> {
  try {
    yield* requests;
  } catch (caught) {
    const { code, rawMessage } = ConnectError.from(caught);
    throw fromStatus({ code, details: rawMessage, trailer: undefined, target: "The caller", method: path });
  }
}

async function* once(request: Message): AsyncGenerator<Message> {
  yield request;
}

async function only(answers: AsyncGenerator<Message>): Promise<Init> {
  let last: Message | undefined;
  for await (const message of answers) last = message;
  if (last) return last as unknown as Init;
  throw connectError(new StatorError("INTERNAL", { detail: "a handler answered with nothing" }));
}

function connectError(error: StatorError): ConnectError {
  const detail = errorDetail(error);
  // Codes of Connect are those of gRPC.
  return new ConnectError(detail.message, detail.grpcCode as Code, undefined, [
    { desc: ErrorDetailSchema, value: detail },
  ]);
}

/** What a handler sees of a call over Connect. */
class ConnectCall implements ServerCall {
  readonly abort = new Abort();
  readonly startedUnixMs: number;
  readonly deadlineUnixMs: number | undefined;
  readonly #served: ServedMethod;
  readonly #context: HandlerContext;

  constructor(served: ServedMethod, context: HandlerContext, startedUnixMs: number) {
    this.#served = served;
    this.startedUnixMs = startedUnixMs;
    this.#context = context;
    const leftMs = context.timeoutMs();
    this.deadlineUnixMs = leftMs === undefined ? undefined : this.startedUnixMs + leftMs;
  }

  get method(): DescMethod {
    return this.#served.method;
  }

  get access(): Access {
    return this.#served.access;
  }

  get peer(): Peer {
    const address = this.#context.values.get(PEER_ADDRESS);
    return { address, binding: "connect", proven: false, subject: undefined };
  }

  get metadata(): Metadata {
    const headers = this.#context.requestHeader;
    return {
      get: (name) => headers.get(name) ?? undefined,
      all(name) {
        const value = headers.get(name);
        return value === null ? [] : [value];
      },
    };
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  sendHeaders(headers: MetadataInit): void {
    for (const [name, value] of Object.entries(headers)) this.#context.responseHeader.set(name, value);
  }

  setTrailers(trailers: MetadataInit): void {
    for (const [name, value] of Object.entries(trailers)) this.#context.responseTrailer.set(name, value);
  }
}
