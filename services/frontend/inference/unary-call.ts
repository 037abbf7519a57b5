import { tellError } from "#lib/api/kserve/tell-error";
import type { StatorError } from "#lib/base/errors";
import type { CallContext } from "#lib/rpc/call";
import type { DuplexChannel } from "#lib/rpc/stream";
import type { Carrier } from "./reply.ts";

/** The call of one request with one answer. */
export class UnaryCall implements Carrier {
  sentBytes = 0;
  readonly #channel: DuplexChannel<Uint8Array, Uint8Array>;
  readonly #call: CallContext;
  readonly #headers: Record<string, string> = {};

  constructor(channel: DuplexChannel<Uint8Array, Uint8Array>, call: CallContext) {
    this.#channel = channel;
    this.#call = call;
  }

  get waitingBytes(): number {
    return this.#channel.bufferedBytes;
  }

  header(name: string): string | undefined {
    return this.#call.metadata.get(name);
  }

  set(name: string, value: string): void {
    this.#headers[name] = /[^\x20-\x7e]/.test(value) ? value.replaceAll(/[^\x20-\x7e]/g, "") : value;
  }

  send(bytes: Uint8Array): boolean {
    this.#call.sendHeaders(this.#headers);
    this.sentBytes += bytes.byteLength;
    return this.#channel.send(bytes);
  }

  /** An answer as a whole does not wait for its reader: what it holds is bounded by its length. */
  whenDrained(drained: () => void): void {
    drained();
  }

  fail(error: StatorError): void {
    this.#channel.end(tellError(error));
  }

  end(_reply: unknown, error: StatorError | undefined): void {
    if (!error) this.#channel.end();
  }
}
