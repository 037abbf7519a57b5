import type { IncomingMessage, ServerResponse } from "node:http";
import { printErrorBody, retryHeaders } from "#lib/api/openai/error-body";
import { EVENT_STREAM } from "#lib/api/sse";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";

/** How an exchange ended, for the counters. */
export type Outcome = "ok" | "caller_error" | "server_error" | "aborted" | "slow_client";

/**
 * What computes an answer. An object and not a closure: a closure kept in a property of every exchange makes V8 carry
 * the exchanges over its quick collections, which costs an eighth of a short request and a hundred megabytes.
 */
export interface Work {
  /** Ends the work and tells the client why. */
  abort(error: StatorError): void;
  /** The exchange is over: the answer was written in full, or the client left. */
  closed(): void;
}

/** How long readers may take. */
export interface ReaderPatience {
  readonly clock: Clock;
  /** For what waits to be taken, and more where much does. */
  readonly slowMs: number;
}

/** What a reader takes at least, in bytes per second, beyond the patience for little. */
const LEAST_RATE = 4096;
/** An end that leaves less than this is not waited for: the system's own buffers take it. */
const SMALL_REST = 16_384;

/** A request with its answer. One answer per exchange: JSON, an error, or a stream of events. */
export class Exchange {
  readonly request: IncomingMessage;
  readonly requestId: string;
  /** Clock milliseconds of the arrival. */
  readonly arrivedMs: number;
  /** Place among the open ones. */
  rosterAt = -1;
  /** For counters; a closed set. */
  route = "other";
  /** Set when the first token was written. */
  firstTokenMs: number | undefined;
  /** The error that was answered. */
  error: StatorError | undefined;
  /** Set by whoever computes the answer. */
  work: Work | undefined;
  /** Where a place was taken for it, to be given back when it is over. */
  place: { leave(): void } | undefined;
  readonly #response: ServerResponse;
  readonly #headers: Record<string, string>;
  readonly #patience: ReaderPatience;
  #answered = false;
  #outcome: Outcome | undefined;

  constructor(request: IncomingMessage, response: ServerResponse, requestId: string, patience: ReaderPatience) {
    this.request = request;
    this.#response = response;
    this.requestId = requestId;
    this.#patience = patience;
    this.arrivedMs = patience.clock.nowMs();
    this.#headers = { "x-request-id": requestId };
  }

  /** A request header; of a repeated one the first. */
  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** Adds a header to the answer, whatever it will be. Characters that do not belong into a header are dropped. */
  set(name: string, value: string): void {
    this.#headers[name] = /[^\x20-\x7e]/.test(value) ? value.replaceAll(/[^\x20-\x7e]/g, "") : value;
  }

  /** Names the fields of the request that have no effect. */
  ignore(fields: readonly string[]): void {
    if (fields.length > 0) this.set("x-stator-ignored", fields.join(", "));
  }

  /** Whether the client left, or everything was written. */
  get closed(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }

  /** Whether the status line is out or about to be. */
  get answered(): boolean {
    return this.#answered;
  }

  /** How it ended; an exchange that closes without an answer was aborted. */
  get outcome(): Outcome {
    return this.#outcome ?? "aborted";
  }

  /** Calls once when the exchange is over: answered in full, or the client left. */
  onClose(call: () => void): void {
    this.#response.on("close", call);
  }

  /** Answers with a body in one write. */
  send(status: number, contentType: string, body: string | Buffer): void {
    if (!this.#begin(status)) return;
    this.#headers["content-type"] = contentType;
    this.#headers["content-length"] = String(Buffer.byteLength(body));
    this.#response.writeHead(status, this.#headers);
    this.#response.end(body);
    this.#watchEnd();
  }

  /** Answers with JSON. */
  json(status: number, body: string): void {
    this.send(status, "application/json", body);
  }

  /** Answers without a body. */
  empty(status: number): void {
    if (!this.#begin(status)) return;
    this.#response.writeHead(status, this.#headers);
    this.#response.end();
  }

  /** Answers with an error in OpenAI's form; does nothing when an answer has begun. */
  fail(error: StatorError): void {
    if (this.#answered) return;
    this.error = error;
    Object.assign(this.#headers, retryHeaders(error));
    this.json(error.row.http, printErrorBody(error));
  }

  /** Closes the connection after the answer: the rest of the request is not wanted. */
  closeAfter(): void {
    this.#headers.connection = "close";
  }

  /** Begins a stream of events. */
  openEvents(): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#headers["content-type"] = EVENT_STREAM;
    this.#headers["cache-control"] = "no-cache";
    this.#headers["x-accel-buffering"] = "no";
    this.#response.writeHead(200, this.#headers);
  }

  /** Writes whole events. False when the socket has more than it takes: wait for drain. */
  write(events: string): boolean {
    return this.#response.write(events);
  }

  /** Ends a stream; `error` is what was told in it. */
  endEvents(error?: StatorError): void {
    this.error = error;
    // A client may close as soon as it reads the last event: the answer was told in full all the same.
    if (!error) this.#outcome = "ok";
    else this.#outcome = error.row.blame === "caller" ? "caller_error" : "server_error";
    this.#response.end();
    this.#watchEnd();
  }

  /** Bytes that the socket did not take yet. */
  get backlogBytes(): number {
    return this.#response.writableLength;
  }

  /** Waits until the socket took everything. A reader that takes too little, however often, is cut off: `cut` is called. */
  whenDrained(drained: () => void, cut: () => void): void {
    const response = this.#response;
    const settle = (call: () => void) => () => {
      timer.cancel();
      response.removeListener("drain", onDrain);
      response.removeListener("close", onClose);
      call();
    };
    const onDrain = settle(drained);
    const onClose = settle(() => {});
    const timer = this.#afterPatience(
      settle(() => {
        this.#cutOff();
        cut();
      }),
    );
    response.once("drain", onDrain);
    response.once("close", onClose);
  }

  /** Ends at once, whatever was written. */
  destroy(outcome: Outcome): void {
    this.#outcome = outcome;
    this.#response.destroy();
  }

  /** The end of an answer is taken in time too. */
  #watchEnd(): void {
    if (this.#response.writableLength <= SMALL_REST) return;
    const timer = this.#afterPatience(() => this.#cutOff());
    this.#response.once("close", () => timer.cancel());
  }

  /** Progress counts and not silence: a reader of a byte a second is never silent. */
  #afterPatience(call: () => void): Timer {
    const { clock, slowMs } = this.#patience;
    return clock.after(slowMs + (this.backlogBytes / LEAST_RATE) * 1000, call);
  }

  #cutOff(): void {
    this.error = new StatorError("SLOW_CLIENT", { stalledMs: this.#patience.slowMs });
    this.destroy("slow_client");
  }

  #begin(status: number): boolean {
    if (this.#answered) return false;
    this.#answered = true;
    this.#outcome ??= status < 400 ? "ok" : status < 500 ? "caller_error" : "server_error";
    return !this.#response.destroyed;
  }
}
