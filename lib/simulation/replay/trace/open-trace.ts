import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { StatorError } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import type { MooncakeOptions } from "./mooncake-reader.ts";
import { readTrace } from "./read-trace.ts";

const PIECE_BYTES = 256 * 1024;
const GZIP = [0x1f, 0x8b];

/**
 * Rows of a file, plain or gzipped, whatever its name. A plain one is read piece by piece, as the rows are taken; it begins anew for
 * everybody who goes through them. Throws FILE_NOT_FOUND, and INVALID_ARGUMENT for a file that cannot be read or a row that is
 * wrong.
 */
export function openTrace(path: string, options: MooncakeOptions): Iterable<TraceRow> {
  return { [Symbol.iterator]: () => readTrace(isGzip(path) ? [unpacked(path)] : piecesOf(path), options) };
}

function isGzip(path: string): boolean {
  const beginning = piecesOf(path, GZIP.length).next().value ?? [];
  return GZIP.every((byte, at) => beginning[at] === byte);
}

/** Bytes that a gzipped trace has at most when it is unpacked; a larger one is given unpacked, and read piece by piece. */
const MOST_UNPACKED = 1 << 30;

/** All bytes of a gzipped file: without promises nothing unpacks piece by piece. */
function unpacked(path: string, mostBytes = MOST_UNPACKED): Uint8Array {
  const bytes = attempt(path, () => readFileSync(path));
  try {
    return gunzipSync(bytes, { maxOutputLength: mostBytes });
  } catch (cause) {
    const isLarge = (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    const why = isLarge ? `it is more than ${mostBytes} bytes, so unpack it first` : (cause as Error).message;
    throw new StatorError("INVALID_ARGUMENT", { detail: `The trace ${path} cannot be unpacked: ${why}` }, { cause });
  }
}

/** Bytes of a file; each piece is the caller's until it asks for the next. */
function* piecesOf(path: string, pieceBytes = PIECE_BYTES): Generator<Uint8Array, undefined> {
  const file = attempt(path, () => openSync(path, "r"));
  try {
    const piece = new Uint8Array(pieceBytes);
    for (;;) {
      const bytes = attempt(path, () => readSync(file, piece, 0, piece.length, null));
      if (bytes === 0) return;
      yield piece.subarray(0, bytes);
    }
  } finally {
    closeSync(file);
  }
}

function attempt<Value>(path: string, call: () => Value): Value {
  try {
    return call();
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw new StatorError("FILE_NOT_FOUND", { path, hint: "Give a trace of JSON lines." }, { cause });
    const detail = `The trace ${path} cannot be read: ${code === "EISDIR" ? "it is a folder" : code}`;
    throw new StatorError("INVALID_ARGUMENT", { detail }, { cause });
  }
}
