import type { StatorError } from "#lib/base/errors";

/**
 * What computes an answer. An object and not a closure: a closure kept in a property of every exchange makes V8 carry
 * the exchanges over its quick collections, which costs an eighth of a short request and a hundred megabytes.
 */
export interface Work {
  /** Ends the work and tells the client why. */
  abort(error: StatorError): void;
  /** The answer was told in full, or the client left. */
  closed(): void;
}

/**
 * Where one answer goes, whatever carries it: an HTTP exchange, or a gRPC call with messages for what is printed. It tells
 * one thing: a whole body (`Whole`), events (`Printed` each), or an error.
 */
export interface Reply<Printed, Whole = Printed> {
  /** For logs and headers: the client's own where it named one. */
  readonly requestId: string;
  /** Name of its door. */
  readonly route: string;
  /** Clock milliseconds of the request's arrival. */
  readonly arrivedMs: number;
  /** Set when the first token was written. */
  firstTokenMs: number | undefined;
  /** Set by whoever computes the answer. */
  work: Work | undefined;
  /** Whether the client left, or everything was written. */
  readonly closed: boolean;
  /** Whether an answer has begun. */
  readonly answered: boolean;
  /** Bytes that the client did not take yet. */
  readonly backlogBytes: number;
  /** What the request says beside its body: a header, metadata. */
  header(name: string): string | undefined;
  /** Says something beside the answer, whatever it will be; before it begins. */
  set(name: string, value: string): void;
  /** Answers as a whole. */
  whole(body: Whole): void;
  /** Answers with an error; does nothing when an answer has begun. */
  fail(error: StatorError): void;
  /** Begins an answer of events. */
  openEvents(): void;
  /** Writes an event. False when the client has more than it takes: wait for drain. */
  write(event: Printed): boolean;
  /** Writes events as one, where the carrier can. */
  writeAll(events: readonly Printed[]): boolean;
  /** Keeps a quiet stream alive, where the carrier does not by itself. */
  ping(): boolean;
  /** Ends the events; `error` is what was told in them. */
  endEvents(error?: StatorError): void;
  /** Waits until the client took everything. One that takes too little, however often, is cut off: `cut` is called. */
  whenDrained(drained: () => void, cut: () => void): void;
}

/** A whole answer of HTTP: JSON, or a body that says by itself what it is. */
export type HttpAnswer = string | HttpBody;

/** A body that is no JSON, or not alone. */
export interface HttpBody {
  /** Its media type. */
  readonly contentType: string;
  /** Beside those of every answer. */
  readonly headers: Readonly<Record<string, string>>;
  /** One after the other; bytes go out as they are, and are kept until they went. */
  readonly parts: readonly (string | Uint8Array)[];
}

/** An error as HTTP tells it; the body is JSON. */
export interface PrintedError {
  /** Such as 503. */
  readonly status: number;
  /** Beside those of every answer, such as retry-after. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
}

/** The form in which a door tells errors in place of an answer. */
export type PrintError = (error: StatorError) => PrintedError;
