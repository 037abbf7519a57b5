import type { TraceRow } from "../trace-row.ts";
import { LineSplitter } from "./line-splitter.ts";
import { type MooncakeOptions, MooncakeReader } from "./mooncake-reader.ts";
import { checkFirstLine } from "./trace-format.ts";

/** Rows of a trace, from its bytes in pieces; as lazy as whoever takes them. Throws INVALID_ARGUMENT at what is wrong. */
export function* readTrace(pieces: Iterable<Uint8Array>, options: MooncakeOptions): Generator<TraceRow> {
  const reader = new MooncakeReader(options);
  let isFirst = true;
  for (const line of linesOf(pieces)) {
    if (isFirst) checkFirstLine(line);
    isFirst = false;
    yield reader.read(line);
  }
}

function* linesOf(pieces: Iterable<Uint8Array>): Generator<string> {
  const splitter = new LineSplitter();
  for (const piece of pieces) yield* splitter.push(piece);
  yield* splitter.end();
}
