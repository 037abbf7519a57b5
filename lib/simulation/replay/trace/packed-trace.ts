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
export function packTrace(rows: Iterable<TraceRow>): PackedTrace;
/** The same, or undefined as soon as it takes more than `mostBytes`. */
export function packTrace(rows: Iterable<TraceRow>, mostBytes: number): PackedTrace | undefined;
export function packTrace(rows: Iterable<TraceRow>, mostBytes = Number.POSITIVE_INFINITY): PackedTrace | undefined {
  const columns = createColumns();
  const sessions = new Map<string, Session>();
  let count = 0;
  for (const row of rows) {
    assert(row.index === count, "rows are packed from the first on");
    push(columns, row);
    columns.session.push(placeOf(row, sessions, columns));
    count++;
    if (bytesOf(columns) > mostBytes) return undefined;
  }
  const flags = columns.flags.take();
  for (const { last } of sessions.values()) flags[last]! |= FLAG.last;
  return {
    count,
    flags,
    ...columns.captured.take(),
    atMs: columns.atMs.take(),
    delayMs: columns.delayMs.take(),
    inputTokens: columns.inputTokens.take(),
    outputTokens: columns.outputTokens.take(),
    priority: columns.priority.take(),
    session: columns.session.take(),
    nameEnds: columns.nameEnds.take(),
    names: columns.names.take(),
    sessionEnds: columns.sessionEnds.take(),
    sessionText: columns.sessionText.take(),
  };
}

interface Session {
  readonly place: number;
  /** Its last row so far. */
  last: number;
}

type Columns = ReturnType<typeof createColumns>;

function createColumns() {
  return {
    atMs: new SharedColumn(Float64Array),
    delayMs: new SharedColumn(Float64Array),
    inputTokens: new SharedColumn(Uint32Array),
    outputTokens: new SharedColumn(Uint32Array),
    priority: new SharedColumn(Int32Array),
    flags: new SharedColumn<Uint8Array>(Uint8Array),
    session: new SharedColumn(Int32Array),
    nameEnds: new SharedColumn(Float64Array),
    names: new SharedColumn<BigUint64Array>(BigUint64Array),
    sessionEnds: new SharedColumn(Float64Array),
    sessionText: new SharedColumn<Uint8Array>(Uint8Array),
    captured: new CapturedColumns(),
  };
}

function bytesOf(columns: Columns): number {
  return Object.values(columns).reduce((sum, { bytes }) => sum + bytes, 0);
}

function push(columns: Columns, row: TraceRow): void {
  columns.atMs.push(row.atMs ?? Number.NaN);
  columns.delayMs.push(row.delayMs ?? Number.NaN);
  columns.inputTokens.push(row.inputTokens);
  columns.outputTokens.push(row.outputTokens);
  columns.priority.push(row.priority);
  columns.flags.push((row.isDelta ? FLAG.delta : 0) | (row.captured ? FLAG.captured : 0));
  if (row.captured) columns.captured.push(row.captured);
  columns.names.append(row.names);
  columns.nameEnds.push(columns.names.length);
}

function placeOf(
  { session, index }: TraceRow,
  sessions: Map<string, Session>,
  { sessionText, sessionEnds }: Columns,
): number {
  if (session === undefined) return -1;
  const known = sessions.get(session);
  if (known) {
    known.last = index;
    return known.place;
  }
  const place = sessions.size;
  sessions.set(session, { place, last: index });
  sessionText.append(new TextEncoder().encode(session));
  sessionEnds.push(sessionText.length);
  return place;
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
