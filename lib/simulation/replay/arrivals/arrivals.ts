import type { TraceRow } from "../trace-row.ts";

/** Who is told of arrivals. */
export interface ArrivalSink {
  /** Requests that come at one moment, in the order of the trace. */
  send(rows: readonly TraceRow[]): void;
}

/** When the rows of a trace come: by their timestamps, one after another, or as the answers before them end. */
export interface Arrivals {
  /** Sends what comes by itself, on the clock; once. */
  start(sink: ArrivalSink): void;
  /** The request of a row has ended: others may have waited for it. */
  ended(row: TraceRow): void;
}
