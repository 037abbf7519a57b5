import type { StatorError } from "#lib/base/errors";
import { type Outcome, outcomeOf } from "../counts.ts";
import type { Reply, Work } from "../doors/reply.ts";
import type { MeteredRequest } from "../request-meter.ts";

/** What answers go out by: a call of its own, or a stream that many requests share. */
export interface Carrier {
  /** Metadata of the call; of a repeated one the first. */
  header(name: string): string | undefined;
  /** Says something beside the answer, where the carrier has a place for it. */
  set(name: string, value: string): void;
  /** Sends a message. False when the client has more than it takes. */
  send(bytes: Uint8Array): boolean;
  /** Bytes that were sent so far, those that wait among them. */
  readonly sentBytes: number;
  /** Bytes of these that wait. */
  readonly waitingBytes: number;
  /** Waits until the client takes messages again. */
  whenDrained(drained: () => void, cut: () => void): void;
  /** Tells an error, in place of an answer or behind what was told of it. */
  fail(error: StatorError, reply: GrpcReply): void;
  /** Everything of this answer was told, at last perhaps this error. */
  end(reply: GrpcReply, error: StatorError | undefined): void;
}

/** What a request is called, and where it came from. */
export interface GrpcReplyOptions {
  /** How its answer goes out. */
  readonly carrier: Carrier;
  /** For counters; a closed set. */
  readonly route: string;
  /** For logs, records and workers. */
  readonly requestId: string;
  /** What the client calls it; comes back with every answer. */
  readonly id: string;
  /** Model that it names, as far as that could be read. */
  readonly model: string;
  /** Clock milliseconds. */
  readonly arrivedMs: number;
  /** Of its message. */
  readonly bytesIn: number;
  /** Called once, when it is over. */
  readonly onClosed: (reply: GrpcReply) => void;
}

/** Where the answer of one request over gRPC goes: messages as bytes. */
export class GrpcReply implements Reply<Uint8Array>, MeteredRequest {
  readonly requestId: string;
  readonly route: string;
  readonly id: string;
  readonly model: string;
  readonly arrivedMs: number;
  readonly bytesIn: number;
  /** Place among the open ones. */
  rosterAt = -1;
  firstTokenMs: number | undefined;
  work: Work | undefined;
  error: StatorError | undefined;
  bytesOut = 0;
  /** Where a place was taken for it, to be given back when it is over. */
  place: { leave(): void } | undefined;
  answered = false;
  closed = false;
  readonly #carrier: Carrier;
  readonly #onClosed: (reply: GrpcReply) => void;
  #outcome: Outcome | undefined;
  /** What the carrier had sent behind the last message of this answer. */
  #sentUpTo = 0;

  constructor(options: GrpcReplyOptions) {
    this.requestId = options.requestId;
    this.route = options.route;
    this.id = options.id;
    this.model = options.model;
    this.arrivedMs = options.arrivedMs;
    this.bytesIn = options.bytesIn;
    this.#carrier = options.carrier;
    this.#onClosed = options.onClosed;
  }

  /** How it ended; one that is over without an answer was left by its client. */
  get outcome(): Outcome {
    return this.#outcome ?? "aborted";
  }

  /** What the last message of this answer waits behind, and itself: what others sent later on the stream is not counted. */
  get backlogBytes(): number {
    const { sentBytes, waitingBytes } = this.#carrier;
    return Math.max(0, this.#sentUpTo - (sentBytes - waitingBytes));
  }

  header(name: string): string | undefined {
    return this.#carrier.header(name);
  }

  set(name: string, value: string): void {
    this.#carrier.set(name, value);
  }

  whole(body: Uint8Array): void {
    if (this.closed || this.answered) return;
    this.answered = true;
    this.#send(body);
    this.#end(undefined);
  }

  fail(error: StatorError): void {
    if (this.closed || this.answered) return;
    this.answered = true;
    this.error = error;
    this.#carrier.fail(error, this);
    this.#end(error);
  }

  openEvents(): void {
    this.answered = true;
  }

  write(event: Uint8Array): boolean {
    return this.closed || this.#send(event);
  }

  writeAll(events: readonly Uint8Array[]): boolean {
    let taken = true;
    for (const event of events) taken = this.write(event);
    return taken;
  }

  /** gRPC itself looks after connections. */
  ping(): boolean {
    return true;
  }

  endEvents(error?: StatorError): void {
    if (this.closed) return;
    if (error) this.#carrier.fail(error, this);
    this.error = error;
    this.#end(error);
  }

  whenDrained(drained: () => void, cut: () => void): void {
    this.#carrier.whenDrained(drained, cut);
  }

  /** The carrier is gone: nothing more is told. `error` is what its client was told, where it was. */
  leave(outcome: Outcome, error?: StatorError): void {
    if (this.closed) return;
    this.error = error;
    this.#close(outcome);
  }

  #send(bytes: Uint8Array): boolean {
    this.bytesOut += bytes.byteLength;
    const taken = this.#carrier.send(bytes);
    this.#sentUpTo = this.#carrier.sentBytes;
    return taken;
  }

  #end(error: StatorError | undefined): void {
    this.#close(outcomeOf(error));
    this.#carrier.end(this, error);
  }

  #close(outcome: Outcome): void {
    this.closed = true;
    this.#outcome = outcome;
    const { work } = this;
    this.work = undefined;
    this.#onClosed(this);
    work?.closed();
  }
}
