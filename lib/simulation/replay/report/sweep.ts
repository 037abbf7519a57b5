/** What one value of a number gave, over several seeds. */
export interface SweepRow {
  /** As it was said. */
  readonly value: string;
  /** Mean over the seeds. */
  readonly mean: number;
  /** The least of any seed. */
  readonly least: number;
  /** The greatest of any seed. */
  readonly most: number;
}

/** What a sweep says about a value beside the best one. */
export type Verdict =
  /** It has the least mean. */
  | "best"
  /** Some seed of it is no worse than some seed of the best: the difference may be chance. */
  | "within noise"
  /** Every seed of it is worse than every one of the best. */
  | "worse";

/** Mean and range of what each value gave, one number for each seed; lower is better. In the order of the values. */
export function sweepOf(given: ReadonlyMap<string, readonly number[]>): readonly SweepRow[] {
  return [...given].map(([value, results]) => ({
    value,
    mean: results.reduce((sum, each) => sum + each, 0) / results.length,
    least: Math.min(...results),
    most: Math.max(...results),
  }));
}

/** The row with the least mean, the first of equals. */
export function bestOf(rows: readonly SweepRow[]): SweepRow {
  return rows.reduce((best, row) => (row.mean < best.mean ? row : best));
}

/** Whether a row is worse than the best by more than what seeds make of it. */
export function verdictOf(row: SweepRow, best: SweepRow): Verdict {
  if (row === best) return "best";
  return row.least > best.most ? "worse" : "within noise";
}
