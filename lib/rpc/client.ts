import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { StatorError } from "#lib/base/errors";
import { DrainGate, iterate, pump } from "./iterate.ts";
import type { Init } from "./service.ts";
import type { CallOptions, MethodOf, Transport } from "./transport.ts";

type Unary<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;
type ServerStreaming<I extends DescMessage, O extends DescMessage> = (
  request: MessageInitShape<I>,
  options?: CallOptions,
) => AsyncGenerator<MessageShape<O>>;
type ClientStreaming<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>>,
  options?: CallOptions,
) => Promise<MessageShape<O>>;
type BidiStreaming<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageInitShape<I>>,
  options?: CallOptions,
) => AsyncGenerator<MessageShape<O>>;

/** Typed functions for the methods of a service, by their names. Errors are StatorErrors. Leaving a stream early cancels its call. */
export type Client<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]: ClientMethod<Service["method"][Name]>;
};

/** The function of one method, by its kind. */
export type ClientMethod<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? Unary<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreaming<I, O>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? ClientStreaming<I, O>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? BidiStreaming<I, O>
          : never;

/** A client of a service over any transport. For the callback form of a stream use `transport.open`. */
export function createClient<Service extends DescService>(service: Service, transport: Transport): Client<Service> {
  const entries = service.methods.map((method) => [method.localName, functionFor(method, transport)]);
  // Each entry has the type that its method's kind maps to; the compiler cannot follow the table.
  return Object.fromEntries(entries) as Client<Service>;
}

function functionFor(method: DescMethod, transport: Transport): unknown {
  const { input } = method;
  const message = (init: Init) => create(input, init);
  switch (method.methodKind) {
    case "unary":
      return (request: Init, options?: CallOptions) =>
        transport.unary(method as DescMethodUnary<DescMessage, DescMessage>, message(request), options);
    case "server_streaming":
      return (request: Init, options?: CallOptions) =>
        stream(transport, method, { requests: [message(request)], options });
    case "client_streaming":
      return (requests: AsyncIterable<Init>, options?: CallOptions) =>
        only(stream(transport, method, { requests, options }), transport);
    case "bidi_streaming":
      return (requests: AsyncIterable<Init>, options?: CallOptions) => stream(transport, method, { requests, options });
  }
}

function stream(
  transport: Transport,
  method: DescMethod,
  { requests, options }: { requests: AsyncIterable<Init> | readonly Message[]; options: CallOptions | undefined },
): AsyncGenerator<Message> {
  const channel = transport.open(method as MethodOf<DescMessage, DescMessage>, options);
  const gate = new DrainGate();
  const answers = iterate(channel, {
    onDrain: gate.drained,
    onEnd: gate.close,
    onLeave: () => channel.end(new StatorError("CANCELLED")),
  });
  if (Symbol.asyncIterator in requests) {
    // pump owns every error of the requests: it cancels the call, and the answers tell.
    pump(requests, channel, { gate, toMessage: (init) => create(method.input, init) });
  } else {
    for (const request of requests) channel.send(request);
    channel.end();
  }
  return answers;
}

async function only(answers: AsyncGenerator<Message>, transport: Transport): Promise<Message> {
  let last: Message | undefined;
  for await (const answer of answers) last = answer;
  if (last) return last;
  throw new StatorError("UNAVAILABLE", { what: transport.target, detail: "it answered with nothing" });
}
