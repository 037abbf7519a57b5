import type { Clock } from "#lib/base/clock";
import { assert, type StatorError } from "#lib/base/errors";
import { SEND_BUFFER_BYTES, type StreamHandlers } from "./stream.ts";

interface Waiting<Item> {
  readonly item: Item;
  readonly bytes: number;
}

/** One direction of a call inside one process. Items arrive in order, at the end of the turn, as the very objects that were pushed. */
export class Lane<Item> {
  #handlers: Pick<StreamHandlers<Item>, "onMessage" | "onEnd"> | undefined;
  #queue: Waiting<Item>[] = [];
  #bytes = 0;
  #full = false;
  #paused = false;
  #scheduled = false;
  #end: { readonly error: StatorError | undefined } | undefined;
  #delivered = false;
  /** The lane was full and is no more. */
  onDrain: (() => void) | undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Bytes, roughly, that wait while the receiver is behind. */
  get bytes(): number {
    return this.#bytes;
  }

  /** False when too much waits; the item is taken all the same. Dropped after the end. */
  push(item: Item): boolean {
    if (this.#end) return true;
    // Only what has to wait is weighed: weighing costs more than handing over.
    const bytes = this.#queue.length > 0 || this.#paused || !this.#handlers ? roughBytes(item, 2) : 0;
    this.#queue.push({ item, bytes });
    this.#bytes += bytes;
    if (this.#bytes > SEND_BUFFER_BYTES) this.#full = true;
    this.#schedule();
    return !this.#full;
  }

  /** Sets who receives; once. */
  receive(handlers: Pick<StreamHandlers<Item>, "onMessage" | "onEnd">): void {
    assert(!this.#handlers, "a channel has one receiver");
    this.#handlers = handlers;
    this.#schedule();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#schedule();
  }

  /** Ends after what was pushed. */
  end(): void {
    this.#end ??= { error: undefined };
    this.#schedule();
  }

  /** Ends at once: what waits is dropped. Does nothing when the end was delivered. */
  cut(error: StatorError | undefined): void {
    this.#queue = [];
    this.#bytes = 0;
    this.#end = { error };
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled || this.#delivered || !this.#handlers) return;
    this.#scheduled = true;
    this.#clock.soon(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const handlers = this.#handlers;
    if (!handlers || this.#delivered) return;
    while (!this.#paused) {
      const next = this.#queue.shift();
      if (!next) break;
      this.#bytes -= next.bytes;
      handlers.onMessage(next.item);
    }
    if (this.#full && this.#bytes <= SEND_BUFFER_BYTES) {
      this.#full = false;
      this.onDrain?.();
    }
    if (this.#queue.length > 0 || !this.#end) return;
    this.#delivered = true;
    handlers.onEnd(this.#end.error);
  }
}

/** A cheap lower bound of a message's size, enough to bound a queue. */
function roughBytes(value: unknown, depth: number): number {
  if (typeof value === "string") return value.length;
  if (value instanceof Uint8Array) return value.byteLength;
  if (typeof value !== "object" || value === null) return 8;
  if (depth === 0) return 64;
  let bytes = 0;
  for (const part of Object.values(value)) bytes += roughBytes(part, depth - 1);
  return bytes;
}
