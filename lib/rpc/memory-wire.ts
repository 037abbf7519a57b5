import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { parse, Serializer } from "./serialize.ts";
import { type DuplexChannel, SEND_BUFFER_BYTES } from "./stream.ts";

/** One end of a wire in memory: a channel that cannot be told to hold back, but for `freeze`. */
export type MemoryEnd<Out, In> = Omit<DuplexChannel<Out, In>, "pause" | "resume">;

/** Two ends of a call in one process. Messages pass through their bytes, as they would over a network. */
export interface MemoryWire<Up, Down> {
  /** Of whoever called. */
  readonly caller: MemoryEnd<Up, Down>;
  /** Of whoever answers. */
  readonly server: MemoryEnd<Down, Up>;
  /** Stops reading at one end, as a frozen process does: what is sent to it piles up at the sender. */
  freeze(end: "caller" | "server"): void;
  /** Reads on, what has piled up first. */
  thaw(end: "caller" | "server"): void;
  /** Cuts the wire: what is under way is lost and both ends hear the error. */
  cut(): void;
}

/** How a wire is made. */
export interface MemoryWireOptions {
  /** How long a message is under way, in ms; until the end of this turn unless given. */
  readonly delayMs?: (() => number) | undefined;
  /** Of the end that answers, which may be a process of its own; the caller's unless given. */
  readonly serverClock?: Clock;
}

/** A wire in memory for a method's messages: `up` to the server, `down` to the caller. What is sent arrives by the clock of its receiver. */
export function createMemoryWire<Up extends DescMessage, Down extends DescMessage>(
  messages: { readonly up: Up; readonly down: Down },
  clock: Clock,
  { delayMs, serverClock = clock }: MemoryWireOptions = {},
): MemoryWire<MessageShape<Up>, MessageShape<Down>> {
  const laterBy = (own: Clock) =>
    delayMs ? (call: () => void) => void own.after(delayMs(), call) : (call: () => void) => own.soon(call);
  const caller = new End<MessageShape<Up>, MessageShape<Down>>(messages.up, messages.down, laterBy(clock));
  const server = new End<MessageShape<Down>, MessageShape<Up>>(messages.down, messages.up, laterBy(serverClock));
  caller.peer = server;
  server.peer = caller;
  const ends = { caller, server };
  return {
    ...ends,
    freeze: (end) => ends[end].setFrozen(true),
    thaw: (end) => ends[end].setFrozen(false),
    cut() {
      const error = new StatorError("UNAVAILABLE", { what: "The other end", detail: "the wire was cut" });
      caller.fail(error);
      server.fail(error);
    },
  };
}

type Handlers<In> = Parameters<MemoryEnd<unknown, In>["receive"]>[0];

/** What is under way to an end: bytes, or the end of the peer. */
type Parcel = { readonly bytes: Uint8Array } | { readonly end: true };

class End<Out extends MessageShape<DescMessage>, In> implements MemoryEnd<Out, In> {
  readonly #in: DescMessage;
  readonly #later: (call: () => void) => void;
  readonly #inbox: Parcel[] = [];
  readonly #serializer: Serializer;
  #inboxBytes = 0;
  #handlers: Handlers<In> | undefined;
  #frozen = false;
  #pumping = false;
  #ended = false;
  #heardEnd = false;
  #peerWaits = false;
  peer: End<MessageShape<DescMessage>, Out> | undefined;

  constructor(out: DescMessage, received: DescMessage, later: (call: () => void) => void) {
    this.#serializer = new Serializer(out);
    this.#in = received;
    this.#later = later;
  }

  get bufferedBytes(): number {
    return this.peer ? this.peer.#inboxBytes : 0;
  }

  send(message: Out): boolean {
    const { peer } = this;
    if (this.#ended || !peer) return true;
    // An odd offset, as in a receive buffer: readers must not count on alignment.
    const encoded = this.#serializer.serialize(message);
    const bytes = new Uint8Array(encoded.length + 1).subarray(1);
    bytes.set(encoded);
    peer.#take({ bytes });
    if (this.bufferedBytes <= SEND_BUFFER_BYTES) return true;
    peer.#peerWaits = true;
    return false;
  }

  receive(handlers: Handlers<In>): void {
    this.#handlers = handlers;
    this.#pump();
  }

  end(error?: StatorError): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error) {
      this.fail(error);
      this.peer?.fail(error);
      return;
    }
    const { peer } = this;
    if (peer) peer.#take({ end: true });
  }

  setFrozen(frozen: boolean): void {
    this.#frozen = frozen;
    this.#pump();
  }

  /** Ends at once: nothing that is under way arrives. */
  fail(error: StatorError): void {
    this.#ended = true;
    this.#inbox.length = 0;
    this.#inboxBytes = 0;
    if (this.#heardEnd) return;
    this.#heardEnd = true;
    this.#later(() => this.#handlers?.onEnd(error));
  }

  #take(parcel: Parcel): void {
    if (this.#heardEnd) return;
    this.#inbox.push(parcel);
    if ("bytes" in parcel) this.#inboxBytes += parcel.bytes.length;
    this.#pump();
  }

  #pump(): void {
    if (this.#pumping || this.#frozen || !this.#handlers || this.#inbox.length === 0) return;
    this.#pumping = true;
    this.#later(() => {
      this.#pumping = false;
      if (this.#frozen) return;
      for (const parcel of this.#inbox.splice(0)) this.#open(parcel);
      this.#pump();
    });
  }

  #open(parcel: Parcel): void {
    if (this.#heardEnd) return;
    if ("end" in parcel) {
      this.#heardEnd = true;
      this.#handlers?.onEnd(undefined);
      return;
    }
    this.#inboxBytes -= parcel.bytes.length;
    this.#handlers?.onMessage(parse(this.#in, parcel.bytes) as In);
    if (!this.#peerWaits || this.#inboxBytes > SEND_BUFFER_BYTES) return;
    this.#peerWaits = false;
    const { peer } = this;
    if (peer) peer.#later(() => peer.#handlers?.onDrain?.());
  }
}
