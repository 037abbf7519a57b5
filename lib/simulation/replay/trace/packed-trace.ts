import { assert } from "#lib/base/errors";
import type { TraceRow } from "../trace-row.ts";
import { CapturedColumns, capturedAt, type PackedCaptured } from "./packed-captured.ts";
import { SharedColumn } from "./shared-column.ts";

/**
 * Rows as columns in shared memory: handed to other threads as it is, without a copy. Whoever has it may read it at the same
 * time; nobody writes.
 */
export interface PackedTrace extends PackedCaptured {
  /** Rows. */
  readonly count: number;
  /** Arrivals in ms; NaN for none. */
  readonly atMs: Float64Array;
  /** Delays in ms; NaN for none. */
  readonly delayMs: Float64Array;
  /** Tokens of prompts. */
  readonly inputTokens: Uint32Array;
  /** Tokens of answers. */
  readonly outputTokens: Uint32Array;
  /** Priorities. */
  readonly priority: Int32Array;
  /** Bits of {@link FLAG}. */
  readonly flags: Uint8Array;
  /** Places of the sessions of rows; -1 for none. */
  readonly session: Int32Array;
  /** Ends of the names of rows in `names`. */
  readonly nameEnds: Float64Array;
  /** Names of all rows, one behind the other. */
  readonly names: BigUint64Array;
  /** Ends of the names of sessions in `sessionText`. */
  readonly sessionEnds: Float64Array;
  /** Names of sessions, UTF-8. */
  readonly sessionText: Uint8Array;
}

const FLAG = { delta: 1, last: 2, captured: 4 } as const;

/** Writes rows, in order from the first one of the trace, into shared memory. Marks the last turn of every session. */
export function packTrace(rows: Iterable<TraceRow>): PackedTrace {
  const columns = {
    atMs: new SharedColumn(Float64Array),
    delayMs: new SharedColumn(Float64Array),
    inputTokens: new SharedColumn(Uint32Array),
    outputTokens: new SharedColumn(Uint32Array),
    priority: new SharedColumn(Int32Array),
    flags: new SharedColumn(Uint8Array),
    session: new SharedColumn(Int32Array),
    nameEnds: new SharedColumn(Float64Array),
    names: new SharedColumn<BigUint64Array>(BigUint64Array),
  };
  const captured = new CapturedColumns();
  const sessions = new Map<string, { readonly place: number; last: number }>();
  let count = 0;
  for (const row of rows) {
    assert(row.index === count, "rows are packed from the first on");
    columns.atMs.push(row.atMs ?? Number.NaN);
    columns.delayMs.push(row.delayMs ?? Number.NaN);
    columns.inputTokens.push(row.inputTokens);
    columns.outputTokens.push(row.outputTokens);
    columns.priority.push(row.priority);
    columns.flags.push((row.isDelta ? FLAG.delta : 0) | (row.captured ? FLAG.captured : 0));
    if (row.captured) captured.push(row.captured);
    columns.names.append(row.names);
    columns.nameEnds.push(columns.names.length);
    columns.session.push(placeOf(row.session, count++, sessions));
  }
  const flags = columns.flags.take();
  for (const { last } of sessions.values()) flags[last]! |= FLAG.last;
  return {
    count,
    ...packNames(sessions.keys()),
    ...captured.take(),
    atMs: columns.atMs.take(),
    delayMs: columns.delayMs.take(),
    inputTokens: columns.inputTokens.take(),
    outputTokens: columns.outputTokens.take(),
    priority: columns.priority.take(),
    flags,
    session: columns.session.take(),
    nameEnds: columns.nameEnds.take(),
    names: columns.names.take(),
  };
}

function placeOf(
  session: string | undefined,
  row: number,
  sessions: Map<string, { readonly place: number; last: number }>,
): number {
  if (session === undefined) return -1;
  const known = sessions.get(session) ?? { place: sessions.size, last: row };
  known.last = row;
  sessions.set(session, known);
  return known.place;
}

function packNames(sessions: Iterable<string>): Pick<PackedTrace, "sessionEnds" | "sessionText"> {
  const ends = new SharedColumn(Float64Array);
  const text = new SharedColumn<Uint8Array>(Uint8Array);
  const encoder = new TextEncoder();
  for (const session of sessions) {
    text.append(encoder.encode(session));
    ends.push(text.length);
  }
  return { sessionEnds: ends.take(), sessionText: text.take() };
}

/** The rows of a packed trace, made anew for everybody who goes through them; names of blocks are views of its memory. */
export function unpackTrace(packed: PackedTrace): Iterable<TraceRow> {
  return { [Symbol.iterator]: () => rowsOf(packed) };
}

function* rowsOf(packed: PackedTrace): Generator<TraceRow> {
  const sessions = sessionsOf(packed);
  let captured = 0;
  for (let index = 0; index < packed.count; index++) {
    const place = packed.session[index]!;
    const flags = packed.flags[index]!;
    yield {
      index,
      atMs: numberOf(packed.atMs[index]!),
      inputTokens: packed.inputTokens[index]!,
      outputTokens: packed.outputTokens[index]!,
      names: packed.names.subarray(index === 0 ? 0 : packed.nameEnds[index - 1]!, packed.nameEnds[index]!),
      session: place === -1 ? undefined : sessions[place]!,
      delayMs: numberOf(packed.delayMs[index]!),
      priority: packed.priority[index]!,
      isDelta: (flags & FLAG.delta) !== 0,
      ...(place !== -1 && { isLastTurn: (flags & FLAG.last) !== 0 }),
      ...((flags & FLAG.captured) !== 0 && { captured: capturedAt(packed, captured++) }),
    };
  }
}

function numberOf(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

function sessionsOf({ sessionEnds, sessionText }: PackedTrace): string[] {
  const decoder = new TextDecoder();
  // A decoder takes no shared memory.
  return Array.from(sessionEnds, (end, at) =>
    decoder.decode(Uint8Array.from(sessionText.subarray(at === 0 ? 0 : sessionEnds[at - 1]!, end))),
  );
}
