import { StatorError } from "#lib/base/errors";
import type { MooncakeOptions } from "#lib/simulation/replay/trace/mooncake-reader";
import { openTrace } from "#lib/simulation/replay/trace/open-trace";
import { type PackedTrace, packTrace, unpackTrace } from "#lib/simulation/replay/trace/packed-trace";
import { syntheticTraffic, type TrafficOptions } from "#lib/simulation/replay/trace/synthetic-traffic";
import type { TraceRow } from "#lib/simulation/replay/trace-row";

/** Where the rows of a trace come from: a file, or traffic that is made up. Whoever goes through one gets the same rows. */
export type TraceSource =
  | { readonly kind: "file"; readonly path: string; readonly options: MooncakeOptions }
  | { readonly kind: "traffic"; readonly traffic: TrafficOptions };

/** A trace that several threads replay side by side. It crosses to them. */
export interface SharedTrace {
  /** Requests, at least 1. */
  readonly count: number;
  /** Its rows in memory that all share, or where each reads them for itself. */
  readonly rows: TraceSource | { readonly kind: "packed"; readonly packed: PackedTrace };
}

/** A trace that takes more memory is read anew by each replay: some ten million requests. */
const MOST_PACKED_BYTES = 2 * 1024 ** 3;

/**
 * Reads a trace once, all of it, so that what is wrong in it is told before anything runs. Throws BAD_CONFIG for one
 * without requests, and what its source throws.
 */
export function shareTrace(source: TraceSource, mostPackedBytes = MOST_PACKED_BYTES): SharedTrace {
  const rows = sourceRows(source);
  const packed = packTrace(rows, mostPackedBytes);
  const count = packed ? packed.count : countOf(rows);
  if (count === 0) throw new StatorError("BAD_CONFIG", { detail: "The trace has no requests." });
  return { count, rows: packed ? { kind: "packed", packed } : source };
}

/** The rows, each made when somebody takes it. */
export function rowsOf({ rows }: SharedTrace): Iterable<TraceRow> {
  return rows.kind === "packed" ? unpackTrace(rows.packed) : sourceRows(rows);
}

function sourceRows(source: TraceSource): Iterable<TraceRow> {
  return source.kind === "file" ? openTrace(source.path, source.options) : syntheticTraffic(source.traffic);
}

function countOf(rows: Iterable<TraceRow>): number {
  let count = 0;
  for (const { index } of rows) count = index + 1;
  return count;
}
