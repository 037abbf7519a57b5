import type { TraceRow } from "../trace-row.ts";

/** What makes rows a session: that they say so, or that their second blocks are the same, as of conversations that begin alike. */
export type SessionSource = "rows" | "second-block";

/**
 * The rows of a trace with the sessions that a source makes. Where all prompts begin with one block, as those of the
 * Mooncake conversations do, the second tells who goes on with what; a row with one block is of no session.
 */
export function* withSessions(rows: Iterable<TraceRow>, source: SessionSource): Generator<TraceRow> {
  if (source === "rows") {
    yield* rows;
    return;
  }
  // Which row was the last one of a session says nothing of these.
  for (const { isLastTurn: _, ...row } of rows) {
    const second = row.names[1];
    yield { ...row, session: second === undefined ? undefined : `block ${second}` };
  }
}
