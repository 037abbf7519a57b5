import {
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodClientStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  getOption,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Access, access as accessOption } from "#gen/stator/common/v1/common_pb";
import { assert, StatorError } from "#lib/base/errors";
import type { CallContext, Peer } from "./call.ts";
import { mayOperate, type OperatorsFrom, operatorsOnly } from "./operators.ts";
import type { DuplexChannel } from "./stream.ts";

/** Answers a unary call. Throws a StatorError to refuse. */
export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: CallContext,
) => Promise<MessageInitShape<O>> | MessageInitShape<O>;

/** Answers with a stream; it is pulled as the caller reads, and `return()` is called when the call aborts. */
export type ServerStreamingHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: CallContext,
) => AsyncIterable<MessageInitShape<O>>;

/** Answers a stream of requests once. */
export type ClientStreamingHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  call: CallContext,
) => Promise<MessageInitShape<O>>;

/** Answers a stream with a stream. */
export type BidiStreamingHandler<I extends DescMessage, O extends DescMessage> = (
  requests: AsyncIterable<MessageShape<I>>,
  call: CallContext,
) => AsyncIterable<MessageInitShape<O>>;

/** The callback form of any streaming method, for hot paths: set receivers and send; end the channel to end the call. */
export interface ChannelHandler<I extends DescMessage, O extends DescMessage> {
  /** Called once for each call; the channel is the handler's from then on. */
  open(channel: DuplexChannel<MessageShape<O>, MessageShape<I>>, call: CallContext): void;
}

/**
 * Sees the bytes of messages and not the messages, for a method of any kind: to hand them on, or to read no more of them
 * than it needs. Over gRPC nothing copies them; the other bindings carry messages and make bytes of them.
 */
export interface ByteHandler {
  /**
   * Called once for each call; the channel is the handler's from then on. Of a method that takes one message it brings one,
   * then the end; of one that answers with one it sends one, then ends. Nobody has looked whether what comes is a message
   * of the method, and over gRPC nobody looks whether what is sent is one.
   */
  bytes(channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext): void;
}

/** The handler of a method: by its kind, or of its bytes. */
export type Handler<M> = ByteHandler | MessageHandler<M>;

/** The handler of a method's messages, by its kind. */
export type MessageHandler<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? ServerStreamingHandler<I, O> | ChannelHandler<I, O>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? ClientStreamingHandler<I, O> | ChannelHandler<I, O>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? BidiStreamingHandler<I, O> | ChannelHandler<I, O>
          : never;

/** Handlers of a service by the methods' names. A method without one answers UNSUPPORTED_FEATURE. */
export type Handlers<Service extends DescService> = {
  readonly [Name in keyof Service["method"]]?: Handler<Service["method"][Name]>;
};

/** A message, or the fields to make one from, with its type forgotten. */
export type Init = Record<string, unknown>;

/** A handler with its types forgotten; which form it has is told by `kind`. */
export type ErasedHandler =
  | { readonly kind: "unary"; run(request: Message, call: CallContext): Promise<Init> | Init }
  | { readonly kind: "server_streaming"; run(request: Message, call: CallContext): AsyncIterable<Init> }
  | { readonly kind: "client_streaming"; run(requests: AsyncIterable<Message>, call: CallContext): Promise<Init> }
  | { readonly kind: "bidi_streaming"; run(requests: AsyncIterable<Message>, call: CallContext): AsyncIterable<Init> }
  | { readonly kind: "channel"; run(channel: DuplexChannel<Message, Message>, call: CallContext): void }
  | { readonly kind: "bytes"; run: ByteHandler["bytes"] }
  | { readonly kind: "refused"; error(): StatorError };

/** One method as the bindings see it. */
export interface ServedMethod {
  /** As the contract declares it. */
  readonly method: DescMethod;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** Who may call it, by the contract. */
  readonly access: Access;
  /** Runs it, whatever its kind. */
  readonly handler: ErasedHandler;
  /** Why a caller is refused before its call runs; undefined where it is not. */
  readonly refusal?: (peer: Peer) => StatorError | undefined;
  /** Looks at the bytes of each request before it is parsed, and not at those that a `ByteHandler` gets. Throws what is wrong with them. */
  readonly checkBytes?: (bytes: Uint8Array) => void;
}

/** A service implementation, ready for any binding. */
export interface ServedService {
  /** As the contract declares it. */
  readonly service: DescService;
  /** All of it; one without an implementation refuses. */
  readonly methods: readonly ServedMethod[];
}

/** The path of a method in every gRPC and Connect request. */
export function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** What a service is joined with its handlers by. */
export interface ServiceOptions {
  /** Who may call the methods that declare it not: foreign contracts have no such option. One answer for all, or for each. */
  readonly access?: Access | ((method: DescMethod) => Access);
  /** Looks at requests that come from other processes before they are parsed, where parsing alone may cost too much. */
  readonly checkBytes?: (bytes: Uint8Array) => void;
}

/** Joins a service with its handlers. Every method must declare who may call it, or `access` say it. */
export function createService<Service extends DescService>(
  service: Service,
  handlers: Handlers<Service>,
  options: ServiceOptions = {},
): ServedService {
  // The types of the handlers were checked above; the table is walked by name from here on.
  const table = handlers as Readonly<Record<string, unknown>>;
  return {
    service,
    methods: service.methods.map((method) => {
      const access = accessOf(method, options.access);
      const path = pathOf(method);
      assert(access !== Access.UNSPECIFIED, `${path} does not declare who may call it`);
      return { method, path, access, handler: erase(method, table[method.localName]), checkBytes: options.checkBytes };
    }),
  };
}

function accessOf(method: DescMethod, otherwise: ServiceOptions["access"] = Access.UNSPECIFIED): Access {
  const declared = getOption(method, accessOption);
  if (declared !== Access.UNSPECIFIED) return declared;
  return typeof otherwise === "function" ? otherwise(method) : otherwise;
}

/** Whose calls a port answers. */
export interface Callers {
  /** Which methods, by who may call them; all unless given. */
  readonly allow?: readonly Access[];
  /** From where operators may call; `here` unless given. */
  readonly operators?: OperatorsFrom;
}

const ALL = [Access.PUBLIC, Access.OPERATOR, Access.PEER] as const;

/** The methods of services as a port shows them: what is not for its callers is refused with ACCESS_DENIED. */
export function methodsFor(services: readonly ServedService[], callers: Callers = {}): ServedMethod[] {
  const { allow = ALL, operators = "here" } = callers;
  return services.flatMap(({ methods }) =>
    methods.map((served): ServedMethod => {
      const { access, path } = served;
      if (!allow.includes(access))
        return { ...served, refusal: () => new StatorError("ACCESS_DENIED", { method: path }) };
      if (access !== Access.OPERATOR) return served;
      return { ...served, refusal: (peer) => (mayOperate(peer, operators) ? undefined : operatorsOnly(path)) };
    }),
  );
}

function erase(method: DescMethod, handler: unknown): ErasedHandler {
  if (handler === undefined) {
    const detail = "this server does not implement it";
    return {
      kind: "refused",
      error: () => new StatorError("UNSUPPORTED_FEATURE", { feature: pathOf(method), detail }),
    };
  }
  if (typeof handler === "function") return { kind: method.methodKind, run: handler } as ErasedHandler;
  // What is no function is one of the two forms of an object.
  const form = handler as ByteHandler | ChannelHandler<DescMessage, DescMessage>;
  if ("bytes" in form) return { kind: "bytes", run: (channel, call) => form.bytes(channel, call) };
  return { kind: "channel", run: (channel, call) => form.open(channel, call) };
}
