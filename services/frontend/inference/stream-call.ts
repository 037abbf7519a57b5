import { tellError } from "#lib/api/kserve/tell-error";
import type { Timer } from "#lib/base/clock";
import { Queue } from "#lib/base/collections";
import { StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";
import type { Metadata } from "#lib/rpc/metadata";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { Outcome } from "../counts.ts";
import { afterPatience, type ReaderPatience } from "../patience.ts";
import { printStreamError } from "./errors.ts";
import type { Carrier, GrpcReply } from "./reply.ts";

/** What streams of requests live on. */
export interface StreamCallOptions {
  /** Requests that run side by side on one stream; what follows waits until one of them is over. */
  readonly mostRequests: number;
  /** How long the client may take. */
  readonly patience: ReaderPatience;
  /** Begins a request, which adds its reply to the stream; throws nothing. */
  readonly begin: (bytes: Uint8Array, stream: StreamCall) => void;
  /** Called once, when nothing more goes either way. */
  readonly onClosed: (stream: StreamCall) => void;
}

/** Messages that came already when the client was asked to wait. */
const READ_AHEAD = 64;

/** How often it is looked whether everything has left. */
const FLUSH_MS = 5;

interface Waiting {
  readonly drained: () => void;
  readonly cut: () => void;
}

/**
 * A call of ModelStreamInfer: its requests run side by side and each answers in an order of its own. A request that fails
 * tells it in a message and the stream goes on, unless the metadata `triton_grpc_error` asks for the call's status.
 */
export class StreamCall implements Carrier {
  /** Place among the open ones. */
  rosterAt = -1;
  sentBytes = 0;
  readonly #channel: DuplexChannel<Uint8Array, Uint8Array>;
  readonly #metadata: Metadata;
  readonly #options: StreamCallOptions;
  /** Whether errors end the call. */
  readonly #tellsByStatus: boolean;
  readonly #replies = new Set<GrpcReply>();
  /** Requests that were read before the client heard that it is to wait. */
  readonly #early = new Queue<Uint8Array>(READ_AHEAD);
  #paused = false;
  #halfClosed = false;
  #draining = false;
  #over = false;
  #slow: Timer | undefined;
  #waiting: Waiting[] = [];

  constructor(channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext, options: StreamCallOptions) {
    this.#channel = channel;
    this.#metadata = call.metadata;
    this.#options = options;
    this.#tellsByStatus = this.#metadata.get("triton_grpc_error") === "true";
    call.signal.addEventListener("abort", () => this.#close("aborted"));
  }

  /** Begins to read. */
  receive(): void {
    this.#channel.receive({
      onMessage: (bytes) => this.#take(bytes),
      onEnd: (error) => {
        this.#halfClosed = true;
        if (error) this.#close("aborted");
        else this.#endIfDone();
      },
      onDrain: () => this.#drained(),
    });
  }

  /** Requests that are not over. */
  get open(): number {
    return this.#replies.size;
  }

  /** A request of this stream began. */
  add(reply: GrpcReply): void {
    this.#replies.add(reply);
  }

  /** A request of this stream is over. */
  remove(reply: GrpcReply): void {
    this.#replies.delete(reply);
  }

  /** Takes no new request, and ends when none is left. */
  drain(): void {
    this.#draining = true;
    this.#endIfDone();
  }

  get waitingBytes(): number {
    return this.#channel.bufferedBytes;
  }

  header(name: string): string | undefined {
    return this.#metadata.get(name);
  }

  /** Headers belong to the call, which is nobody's alone. */
  set(): void {}

  send(bytes: Uint8Array): boolean {
    this.sentBytes += bytes.byteLength;
    return this.#channel.send(bytes);
  }

  fail(error: StatorError, reply: GrpcReply): void {
    if (!this.#tellsByStatus) this.send(printStreamError(error, reply));
  }

  end(_reply: GrpcReply, error: StatorError | undefined): void {
    if (error && this.#tellsByStatus) this.#endWith(error, "aborted");
    this.#next();
    this.#endIfDone();
  }

  whenDrained(drained: () => void, cut: () => void): void {
    this.#waiting.push({ drained, cut });
    this.#slow ??= afterPatience(this.#options.patience, this.waitingBytes, () => this.#cutOff());
  }

  #take(bytes: Uint8Array): void {
    if (this.#over) return;
    const isFull = this.#replies.size >= this.#options.mostRequests;
    if (isFull && !this.#early.push(bytes)) {
      this.#endWith(
        new StatorError("LIMIT", { what: "A stream", limit: `${READ_AHEAD} requests that wait` }),
        "aborted",
      );
      return;
    }
    if (!isFull) this.#options.begin(bytes, this);
    if (this.#paused || this.#replies.size < this.#options.mostRequests) return;
    this.#paused = true;
    this.#channel.pause();
  }

  /** Some request is over: another may begin. */
  #next(): void {
    while (!this.#over && this.#replies.size < this.#options.mostRequests) {
      const bytes = this.#early.shift();
      if (!bytes) break;
      this.#options.begin(bytes, this);
    }
    if (!this.#paused || this.#over || this.#replies.size >= this.#options.mostRequests) return;
    this.#paused = false;
    this.#channel.resume();
  }

  #endIfDone(): void {
    if (this.#over || this.#replies.size > 0 || this.#early.size > 0) return;
    if (this.#halfClosed) {
      this.#close("ok");
      this.#channel.end();
    } else if (this.#draining) this.#endWith(new StatorError("DRAINING", { what: "This frontend" }), "aborted");
  }

  #drained(): void {
    this.#slow?.cancel();
    this.#slow = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { drained } of waiting) drained();
  }

  #cutOff(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { cut } of waiting) cut();
    this.#endWith(new StatorError("SLOW_CLIENT", { stalledMs: this.#options.patience.slowMs }), "slow_client");
  }

  /** Ends the call with an error; the requests that are not over end so. */
  #endWith(error: StatorError, outcome: Outcome): void {
    if (this.#over) return;
    this.#close(outcome, outcome === "slow_client" ? error : undefined);
    if (outcome === "slow_client") this.#channel.end(tellError(error));
    else this.#endBehind(tellError(error), this.#options.patience.slowMs);
  }

  /** A channel that ends with an error drops what waits, and what was told comes before it: for so long at most. */
  #endBehind(error: StatorError, leftMs: number): void {
    if (this.waitingBytes === 0 || leftMs <= 0) this.#channel.end(error);
    else this.#options.patience.clock.after(FLUSH_MS, () => this.#endBehind(error, leftMs - FLUSH_MS));
  }

  #close(outcome: Outcome, error?: StatorError): void {
    if (this.#over) return;
    this.#over = true;
    this.#slow?.cancel();
    this.#waiting = [];
    while (this.#early.shift());
    for (const reply of [...this.#replies]) reply.leave(outcome, error);
    this.#options.onClosed(this);
  }
}
