import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { Abort, type ServerCall } from "#lib/rpc/call";
import type { ServerChannel } from "#lib/rpc/dispatch";
import { createMemoryWire, type MemoryEnd, type MemoryWire, type MemoryWireOptions } from "#lib/rpc/memory-wire";
import { noMetadata } from "#lib/rpc/metadata";
import type { ServedMethod } from "#lib/rpc/service";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { CallOptions, MethodOf, Transport } from "#lib/rpc/transport";
import { unaryOver } from "#lib/rpc/unary";

const SIDES = ["caller", "server"] as const;
type Side = (typeof SIDES)[number];

/** A wire of one call: either end may hold back what comes, beside what the network does to it. */
export class CallWire<Up, Down> {
  readonly caller: DuplexChannel<Up, Down>;
  readonly server: DuplexChannel<Down, Up>;
  readonly #memory: MemoryWire<Up, Down>;
  readonly #isFrozen = { caller: false, server: false };
  readonly #isPaused = { caller: false, server: false };
  /** Ends that the other side made, and that do not arrive yet. */
  readonly #held: Record<Side, ((own?: StatorError) => void) | undefined> = { caller: undefined, server: undefined };
  #isCut = false;

  /** Takes the wire. */
  constructor(memory: MemoryWire<Up, Down>) {
    this.#memory = memory;
    this.caller = this.#channel(memory.caller, "caller");
    this.server = this.#channel(memory.server, "server");
  }

  /** As of the memory wire. */
  freeze(side: Side): void {
    this.#isFrozen[side] = true;
    this.#settle(side);
  }

  /** As of the memory wire; what is paused stays so. */
  thaw(side: Side): void {
    this.#isFrozen[side] = false;
    this.#settle(side);
    this.#hear(side);
  }

  /** As of the memory wire. */
  cut(): void {
    this.#isCut = true;
    this.#memory.cut();
    for (const side of SIDES) this.#hear(side);
  }

  #channel<Out, In>(end: MemoryEnd<Out, In>, side: Side): DuplexChannel<Out, In> {
    const pause = (isPaused: boolean): void => {
      this.#isPaused[side] = isPaused;
      this.#settle(side);
    };
    let isOwn = false;
    return {
      get bufferedBytes() {
        return end.bufferedBytes;
      },
      send: (message) => end.send(message),
      receive: (handlers) =>
        end.receive({
          onMessage: (message) => handlers.onMessage(message),
          onDrain: () => handlers.onDrain?.(),
          onEnd: (error) => {
            const hear = (own = error) => handlers.onEnd(own);
            if (this.#isFrozen[side] && !isOwn && !this.#isCut) this.#held[side] = hear;
            else hear();
          },
        }),
      end: (error) => {
        isOwn ||= error !== undefined;
        end.end(error);
        if (error) this.#hear(side, error);
      },
      pause: () => pause(true),
      resume: () => pause(false),
    };
  }

  /** An end that was held arrives, or the side's own one in its place. */
  #hear(side: Side, own?: StatorError): void {
    const hear = this.#held[side];
    this.#held[side] = undefined;
    hear?.(own);
  }

  #settle(side: Side): void {
    if (this.#isFrozen[side] || this.#isPaused[side]) this.#memory.freeze(side);
    else this.#memory.thaw(side);
  }
}

/** Makes the wire of one call of a method. */
export function createCallWire<I extends DescMessage, O extends DescMessage>(
  { input, output }: MethodOf<I, O>,
  clock: Clock,
  options: MemoryWireOptions,
): CallWire<MessageShape<I>, MessageShape<O>> {
  return new CallWire(createMemoryWire({ up: input, down: output }, clock, options));
}

/** A call as its handler sees it: of somebody in the same world. */
export function serverCall({ method, access }: ServedMethod, caller: string): ServerCall {
  const abort = new Abort();
  return {
    ...{ method, access, abort, metadata: noMetadata, deadlineUnixMs: undefined },
    peer: { address: caller, binding: "grpc", proven: true, subject: undefined },
    get signal() {
      return abort.signal;
    },
    sendHeaders() {},
    setTrailers() {},
  };
}

/** Opens the wire of one call. Throws UNAVAILABLE where nobody has the address. */
type OpenCall = <I extends DescMessage, O extends DescMessage>(
  method: MethodOf<I, O>,
) => { readonly channel: DuplexChannel<MessageShape<I>, MessageShape<O>>; readonly onOver: () => void };

/** One process's way to the services at an address: a wire for each call. */
export class CallTransport implements Transport {
  readonly target: string;
  readonly #clock: Clock;
  readonly #openCall: OpenCall;
  readonly #ends = new Set<(error: StatorError) => void>();

  constructor(target: string, clock: Clock, open: OpenCall) {
    this.target = target;
    this.#clock = clock;
    this.#openCall = open;
  }

  open<I extends DescMessage, O extends DescMessage>(
    method: MethodOf<I, O>,
    { timeoutMs }: CallOptions = {},
  ): DuplexChannel<MessageShape<I>, MessageShape<O>> {
    const { channel, onOver } = this.#openCall(method);
    const end = (error: StatorError): void => channel.end(error);
    const late = () => end(new StatorError("DEADLINE", { deadlineMs: timeoutMs ?? 0 }));
    const timer: Timer | undefined = timeoutMs === undefined ? undefined : this.#clock.after(timeoutMs, late);
    this.#ends.add(end);
    return {
      ...channel,
      get bufferedBytes() {
        return channel.bufferedBytes;
      },
      receive: (handlers) =>
        channel.receive({
          ...handlers,
          onMessage: (message) => handlers.onMessage(message),
          onDrain: () => handlers.onDrain?.(),
          onEnd: (error) => {
            timer?.cancel();
            this.#ends.delete(end);
            onOver();
            handlers.onEnd(error);
          },
        }),
    };
  }

  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options?: CallOptions,
  ): Promise<MessageShape<O>> {
    return unaryOver(this, { method, request, options });
  }

  close(): void {
    const error = new StatorError("UNAVAILABLE", { what: this.target, detail: "the connection was closed" });
    for (const end of [...this.#ends]) end(error);
  }
}

/** A server's end with its message types forgotten, as `serveCall` takes it. */
export function erased(channel: unknown): ServerChannel {
  return channel as ServerChannel;
}
