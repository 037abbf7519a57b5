import type { IncomingMessage, ServerResponse } from "node:http";
import { EVENT_STREAM, PING_COMMENT } from "#lib/api/sse";
import type { Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { type Outcome, outcomeOf } from "../counts.ts";
import type { HttpAnswer, PrintError, Reply, Work } from "../doors/reply.ts";
import { afterPatience, type ReaderPatience } from "../patience.ts";

/** An end that leaves less than this is not waited for: the system's own buffers take it. */
const SMALL_REST = 16_384;

/** A request with its answer. One answer per exchange: a body, an error, or a stream of events. */
export class Exchange implements Reply<string, HttpAnswer> {
  readonly request: IncomingMessage;
  readonly requestId: string;
  readonly arrivedMs: number;
  /** Place among the open ones. */
  rosterAt = -1;
  /** For counters; a closed set. */
  route = "other";
  firstTokenMs: number | undefined;
  /** The error that was answered. */
  error: StatorError | undefined;
  work: Work | undefined;
  /** Where a place was taken for it, to be given back when it is over. */
  place: { leave(): void } | undefined;
  /** Of its body, as far as it was read. */
  bytesIn = 0;
  /** Of an answer as a whole. */
  #bodyBytes = 0;
  /** What the socket had written before the events; undefined without events. */
  #eventsFrom: number | undefined;
  readonly #response: ServerResponse;
  readonly #headers: Record<string, string>;
  readonly #patience: ReaderPatience;
  readonly #printError: PrintError;
  #answered = false;
  #outcome: Outcome | undefined;

  constructor(
    { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
    requestId: string,
    { patience, printError }: { readonly patience: ReaderPatience; readonly printError: PrintError },
  ) {
    this.request = request;
    this.#response = response;
    this.requestId = requestId;
    this.#patience = patience;
    this.#printError = printError;
    this.arrivedMs = patience.clock.nowMs();
    this.#headers = { "x-request-id": requestId };
  }

  /** Of a repeated header the first. */
  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** Adds a header. Characters that do not belong into one are dropped. */
  set(name: string, value: string): void {
    this.#headers[name] = /[^\x20-\x7e]/.test(value) ? value.replaceAll(/[^\x20-\x7e]/g, "") : value;
  }

  get closed(): boolean {
    return this.#response.destroyed || this.#response.closed;
  }

  get answered(): boolean {
    return this.#answered;
  }

  /** How it ended; an exchange that closes without an answer was aborted. */
  get outcome(): Outcome {
    return this.#outcome ?? "aborted";
  }

  /** Whether it answers with events. */
  get streams(): boolean {
    return this.#eventsFrom !== undefined;
  }

  /** Of its answer, once that is over; of events with what frames them, as the socket counts it. */
  get bytesOut(): number {
    return this.#eventsFrom === undefined ? this.#bodyBytes : this.request.socket.bytesWritten - this.#eventsFrom;
  }

  /** Calls once when the exchange is over: answered in full, or the client left. */
  onClose(call: () => void): void {
    this.#response.on("close", call);
  }

  /** Answers with a body in one write. */
  send(status: number, contentType: string, body: string | Buffer): void {
    this.#sendParts(status, contentType, [body]);
  }

  #sendParts(status: number, contentType: string, parts: readonly (string | Uint8Array)[]): void {
    if (!this.#begin(status)) return;
    this.#bodyBytes = parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0);
    this.#headers["content-type"] = contentType;
    this.#headers["content-length"] = String(this.#bodyBytes);
    this.#response.writeHead(status, this.#headers);
    for (const part of parts.slice(0, -1)) this.#response.write(part);
    this.#response.end(parts.at(-1));
    this.#watchEnd();
  }

  /** Answers with JSON. */
  json(status: number, body: string): void {
    this.send(status, "application/json", body);
  }

  whole(body: HttpAnswer): void {
    if (typeof body === "string") {
      this.json(200, body);
      return;
    }
    const { contentType, headers, parts } = body;
    Object.assign(this.#headers, headers);
    this.#sendParts(200, contentType, parts);
  }

  /** Answers without a body. */
  empty(status: number): void {
    if (!this.#begin(status)) return;
    this.#response.writeHead(status, this.#headers);
    this.#response.end();
  }

  fail(error: StatorError): void {
    if (this.#answered) return;
    this.error = error;
    const { status, headers, body } = this.#printError(error);
    Object.assign(this.#headers, headers);
    this.json(status, body);
  }

  /** Closes the connection after the answer: the rest of the request is not wanted. */
  closeAfter(): void {
    this.#headers.connection = "close";
  }

  openEvents(): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#eventsFrom = this.request.socket.bytesWritten;
    this.#headers["content-type"] = EVENT_STREAM;
    this.#headers["cache-control"] = "no-cache";
    this.#headers["x-accel-buffering"] = "no";
    this.#response.writeHead(200, this.#headers);
  }

  write(event: string): boolean {
    return this.#response.write(event);
  }

  writeAll(events: readonly string[]): boolean {
    return this.#response.write(events.join(""));
  }

  ping(): boolean {
    return this.#response.write(PING_COMMENT);
  }

  endEvents(error?: StatorError): void {
    this.error = error;
    // A client may close as soon as it reads the last event: the answer was told in full all the same.
    this.#outcome = outcomeOf(error);
    this.#response.end();
    this.#watchEnd();
  }

  get backlogBytes(): number {
    return this.#response.writableLength;
  }

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

  #afterPatience(call: () => void): Timer {
    return afterPatience(this.#patience, this.backlogBytes, call);
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
