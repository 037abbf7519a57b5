import type { DescMethod } from "@bufbuild/protobuf";
import type { Access } from "#gen/stator/common/v1/common_pb";
import { StatorError } from "#lib/base/errors";
import type { Metadata, MetadataInit } from "./metadata.ts";

/** Who is at the other end of a call. */
export interface Peer {
  /** host:port of the caller, or `direct` in the same process. */
  readonly address: string;
  /** What carries the call. */
  readonly binding: Binding;
  /** Whether mutual TLS verified a certificate of the caller; a caller in the same process needs none. */
  readonly proven: boolean;
  /** Common name of the caller's certificate, when mutual TLS verified one. */
  readonly subject: string | undefined;
}

/** The three ways in which one service implementation is reached. */
export type Binding = "grpc" | "connect" | "direct";

/** What a handler knows about its call, independent of the transport. */
export interface CallContext {
  /** Which one is called. */
  readonly method: DescMethod;
  /** Who may call this method; the port has checked it. */
  readonly access: Access;
  /** Look while the call is open: it is read from the connection. */
  readonly peer: Peer;
  /** What the caller sent beside its messages. */
  readonly metadata: Metadata;
  /** When the caller gives up, in Unix milliseconds; undefined waits for ever. */
  readonly deadlineUnixMs: number | undefined;
  /**
   * Aborts when the caller goes away, the deadline passes or the server is forced to close; never after a call that ended
   * in order. Its reason is the StatorError. Made at first use, so a handler that does not look pays nothing.
   */
  readonly signal: AbortSignal;
  /** Sends response headers; before the first message. */
  sendHeaders(headers: MetadataInit): void;
  /** Sets trailers that go out with the status. */
  setTrailers(trailers: MetadataInit): void;
}

/** The end of a call that its caller or its deadline forces. It costs nothing until somebody looks at the signal. */
export class Abort {
  #controller: AbortController | undefined;
  #reason: StatorError | undefined;
  #listeners: ((reason: StatorError) => void)[] = [];

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason && !this.#controller.signal.aborted) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** Calls once when the call aborts; at once when it has. */
  listen(call: (reason: StatorError) => void): void {
    if (this.#reason) call(this.#reason);
    else this.#listeners.push(call);
  }

  /** The first reason stays. */
  raise(reason: StatorError): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    for (const call of this.#listeners) call(reason);
    this.#listeners = [];
  }
}

/** A call as the bindings hold it: what the handler sees, and the abort behind its signal. */
export interface ServerCall extends CallContext {
  /** Whoever finds that the call is over forces it here. */
  readonly abort: Abort;
}

/** Why a call that its caller ended now, early, was ended: its deadline, if that has passed, else a cancel. */
export function abortReason(
  { startedUnixMs, deadlineUnixMs }: { readonly startedUnixMs: number; readonly deadlineUnixMs: number | undefined },
  nowUnixMs: number,
): StatorError {
  if (deadlineUnixMs === undefined || nowUnixMs < deadlineUnixMs) return new StatorError("CANCELLED");
  return new StatorError("DEADLINE", { deadlineMs: Math.round(deadlineUnixMs - startedUnixMs) });
}
