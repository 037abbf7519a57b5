import { StatorError } from "#lib/base/errors";

const NEWLINE = 0x0a;

/** Longest line in bytes: a prompt of ten million tokens in blocks of 16 is shorter. */
const MOST_BYTES = 64 * 1024 * 1024;

/** Cuts bytes that come in pieces into lines. Lines without anything but blanks are left out. */
export class LineSplitter {
  readonly #mostBytes: number;
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #rest: Uint8Array[] = [];
  #restBytes = 0;
  #lines = 0;

  /** `mostBytes`: of a line. */
  constructor(mostBytes = MOST_BYTES) {
    this.#mostBytes = mostBytes;
  }

  /** Lines that end in a piece. Keeps copies of what is left of it. Throws INVALID_ARGUMENT. */
  *push(piece: Uint8Array): Generator<string> {
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end !== -1; end = piece.indexOf(NEWLINE, from)) {
      this.#keep(piece.subarray(from, end));
      from = end + 1;
      yield* this.#line();
    }
    if (from < piece.length) this.#keep(piece.slice(from));
  }

  /** The last line, where it does not end in a newline. */
  *end(): Generator<string> {
    if (this.#restBytes > 0) yield* this.#line();
  }

  #keep(part: Uint8Array): void {
    this.#rest.push(part);
    this.#restBytes += part.length;
    if (this.#restBytes > this.#mostBytes) throw this.#error(`is longer than ${this.#mostBytes} bytes`);
  }

  *#line(): Generator<string> {
    const parts = this.#rest;
    this.#rest = [];
    this.#restBytes = 0;
    let text: string;
    try {
      text = this.#decoder.decode(parts.length === 1 ? parts[0] : Buffer.concat(parts));
    } catch {
      throw this.#error("is not UTF-8");
    }
    this.#lines++;
    if (text.trim() !== "") yield text;
  }

  #error(detail: string): StatorError {
    return new StatorError("INVALID_ARGUMENT", { detail: `Line ${this.#lines + 1} of the trace ${detail}` });
  }
}
