import { SEND_BUFFER_BYTES } from "./stream.ts";

/** What a send queue writes to. */
export interface Sink {
  /** Writes one message; `done` comes when its bytes have left, or never if the call failed. One write runs at a time. */
  write(bytes: Buffer, done: () => void): void;
  /** Everything is written and nothing follows. */
  finish(): void;
}

/**
 * Serialized messages on their way to a transport that takes one at a time. grpc-js streams count messages; this counts
 * bytes, so that a sender can tell a slow reader from a busy one.
 */
export class SendQueue {
  readonly #sink: Sink;
  readonly #onDrain: () => void;
  #waiting: Buffer[] = [];
  #head = 0;
  #bytes = 0;
  #inFlightBytes = 0;
  #writing = false;
  #full = false;
  #ending = false;
  #over = false;

  constructor(sink: Sink, onDrain: () => void) {
    this.#sink = sink;
    this.#onDrain = onDrain;
  }

  /** Bytes that wait or are being written. */
  get bufferedBytes(): number {
    return this.#bytes;
  }

  /** False when the buffer is above its limit. Keeps the bytes until they are written. */
  push(bytes: Buffer): boolean {
    if (this.#ending || this.#over) return true;
    this.#bytes += bytes.byteLength;
    if (this.#writing) this.#waiting.push(bytes);
    else this.#write(bytes);
    if (this.#bytes > SEND_BUFFER_BYTES) this.#full = true;
    return !this.#full;
  }

  /** Finishes after what was pushed. */
  end(): void {
    if (this.#ending || this.#over) return;
    this.#ending = true;
    // A transport takes the end while the last write is under way: both can leave in one packet.
    if (this.#head === this.#waiting.length) this.#finish();
  }

  /** Forgets what was not written. */
  clear(): void {
    this.#over = true;
    this.#waiting = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  #write(bytes: Buffer): void {
    this.#writing = true;
    this.#inFlightBytes = bytes.byteLength;
    this.#sink.write(bytes, this.#written);
  }

  readonly #written = (): void => {
    this.#writing = false;
    if (this.#over) return;
    this.#bytes -= this.#inFlightBytes;
    const next = this.#waiting[this.#head];
    if (next) this.#advance(next);
    if (this.#full && this.#bytes <= SEND_BUFFER_BYTES) {
      this.#full = false;
      this.#onDrain();
    }
  };

  #advance(next: Buffer): void {
    this.#head++;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
    this.#write(next);
    if (this.#ending && this.#head === this.#waiting.length) this.#finish();
  }

  #finish(): void {
    this.#over = true;
    this.#sink.finish();
  }
}
