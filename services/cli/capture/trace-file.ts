import { closeSync, openSync, writeSync } from "node:fs";
import { StatorError } from "#lib/base/errors";

/** Lines are written together: so many bytes at a time. */
const PIECE_BYTES = 64 * 1024;

/** A new file of lines, which only its owner may read, with a bound. Whole lines are written. */
export class TraceFile {
  readonly #file: number;
  readonly #most: number;
  #lines: string[] = [];
  #waiting = 0;
  #bytes = 0;

  /** Opens a file that is not there yet. Throws BAD_CONFIG. */
  constructor(path: string, most: number) {
    this.#file = openNew(path);
    this.#most = most;
  }

  /** Bytes of its lines. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends a line; false where it has no room for it: it takes no other one then. */
  add(line: string): boolean {
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#bytes + bytes > this.#most) return false;
    this.#bytes += bytes;
    this.#waiting += bytes;
    this.#lines.push(`${line}\n`);
    if (this.#waiting >= PIECE_BYTES) this.flush();
    return true;
  }

  /** Writes what waits. */
  flush(): void {
    const data = Buffer.from(this.#lines.join(""));
    this.#lines = [];
    this.#waiting = 0;
    for (let at = 0; at < data.length; ) at += writeSync(this.#file, data, at);
  }

  /** Writes what waits and closes it. */
  close(): void {
    this.flush();
    closeSync(this.#file);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    const why: Readonly<Record<string, string>> = { EEXIST: "it is there already", ENOENT: "its folder is not there" };
    const detail = `${path} cannot be written: ${why[code] ?? code}. Name another file with --out.`;
    throw new StatorError("BAD_CONFIG", { detail }, { cause: error });
  }
}
