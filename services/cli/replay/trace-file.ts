import { readFileSync } from "node:fs";
import { StatorError } from "#lib/base/errors";
import { readCaptured } from "#lib/simulation/replay/trace/read-captured";
import type { TraceRow } from "#lib/simulation/replay/trace-row";

/** Reads a trace of Mooncake rows, one JSON object a line, in order of time. Throws FILE_NOT_FOUND, or BAD_CONFIG with the line. */
export function readTrace(path: string): readonly TraceRow[] {
  const lines = readText(path).split("\n");
  const rows: TraceRow[] = [];
  for (const [at, line] of lines.entries()) {
    if (line.trim() !== "") rows.push(readRow(line, { path, line: at + 1, index: rows.length }));
  }
  if (rows.length === 0) throw new StatorError("BAD_CONFIG", { detail: `${path} has no requests.` });
  return rows.sort((left, right) => left.atMs! - right.atMs! || left.index - right.index);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new StatorError("FILE_NOT_FOUND", { path, hint: "Give a trace, one JSON object a line." });
    }
    throw new StatorError("BAD_CONFIG", { detail: `${path} cannot be read: ${code}.` }, { cause: error });
  }
}

function readRow(text: string, place: { path: string; line: number; index: number }): TraceRow {
  const { path, line, index } = place;
  const wrong = (what: string) => new StatorError("BAD_CONFIG", { detail: `${path}, line ${line}: ${what}.` });
  let row: Readonly<Record<string, unknown>>;
  try {
    row = Object(JSON.parse(text)) as typeof row;
  } catch {
    throw wrong("this is no JSON");
  }
  const number = (name: string, least: number): number => {
    const value = row[name];
    if (typeof value === "number" && value >= least) return value;
    throw wrong(`expected ${name}, a number from ${least} on`);
  };
  const names = row.hash_ids;
  if (!Array.isArray(names) || !names.every((name) => Number.isSafeInteger(name) && name >= 0)) {
    throw wrong("expected hash_ids, a list of whole numbers");
  }
  const captured = readCaptured(row.stator);
  return {
    index,
    atMs: number("timestamp", 0),
    inputTokens: number("input_length", 1),
    outputTokens: number("output_length", 1),
    names: BigUint64Array.from(names as number[], BigInt),
    ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
    ...(captured && { captured }),
  };
}
