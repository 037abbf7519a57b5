import type { BenchCase, Bound } from "./cases.ts";
import { median } from "./harness.ts";

/** What a case printed: figures by name. Numbers are compared, anything else is for reading. */
export type Figures = Readonly<Record<string, unknown>>;

/** One row of a table; the last cell is the verdict where there is one. */
export type Row = readonly string[];

/** Heads of the tables of {@link rowsOf} and {@link rowsAgainst}. */
export const HEADS = {
  alone: ["case", "figure", "value", "bound", "verdict"],
  against: (commit: string) => ["case", "figure", "here", commit, "here/there", "spread", "bound", "verdict"],
} as const;

function holds(value: number, bound: Bound): boolean {
  return "atMost" in bound ? value <= bound.atMost : value >= bound.atLeast;
}

function printValue(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** Bound and verdict of a figure. One without a bound is no verdict; nothing is judged at a small volume. */
function judge(value: number, bound: Bound | undefined, judged: boolean): [bound: string, verdict: string] {
  if (bound === undefined) return ["", ""];
  const limit = "atMost" in bound ? `<= ${printValue(bound.atMost)}` : `>= ${printValue(bound.atLeast)}`;
  if (!judged) return [limit, "not judged"];
  return [limit, holds(value, bound) ? "holds" : "MISSED"];
}

function valuesOf(runs: readonly Figures[], figure: string): number[] {
  return runs.map((figures) => Number(figures[figure] ?? Number.NaN));
}

/** The row of a case that cannot run here; undefined for one that ran. */
function skippedRow(name: string, runs: readonly Figures[], cells: number): Row | undefined {
  const skipped = runs[0]?.skipped;
  return skipped === undefined ? undefined : [name, ...new Array<string>(cells - 2).fill(""), `skipped: ${skipped}`];
}

/** The rows of one case: a row for each bound and for each figure that stands beside, with the median of all runs. */
export function rowsOf(
  name: string,
  { bounds, beside = [] }: BenchCase,
  runs: readonly Figures[],
  judged: boolean,
): Row[] {
  const skipped = skippedRow(name, runs, HEADS.alone.length);
  if (skipped) return [skipped];
  return [...Object.keys(bounds), ...beside].map((figure) => {
    const value = median(valuesOf(runs, figure));
    return [name, figure, printValue(value), ...judge(value, bounds[figure], judged)];
  });
}

/** Largest less smallest, as percent of the middle one. */
function spreadOf(values: readonly number[]): string {
  return `${(((Math.max(...values) - Math.min(...values)) / Math.abs(median(values))) * 100).toFixed(0)} %`;
}

/**
 * The rows of one case run in turn here and in another commit: every number that it printed, both medians, their ratio,
 * and how far the runs of each lie apart. The bound is judged by the value of here.
 */
export function rowsAgainst(
  name: string,
  { bounds }: BenchCase,
  runs: { readonly here: readonly Figures[]; readonly there: readonly Figures[]; readonly judged: boolean },
): Row[] {
  const skipped = skippedRow(name, runs.here, HEADS.against("").length);
  if (skipped) return [skipped];
  const figures = Object.entries(runs.here[0] ?? {}).filter(([, value]) => typeof value === "number");
  return figures.map(([figure]) => {
    const [here, there] = [valuesOf(runs.here, figure), valuesOf(runs.there, figure)];
    const ratio = (median(here) / median(there)).toFixed(3);
    const values = [
      printValue(median(here)),
      printValue(median(there)),
      ratio,
      `${spreadOf(here)}, ${spreadOf(there)}`,
    ];
    return [name, figure, ...values, ...judge(median(here), bounds[figure], runs.judged)];
  });
}

/** Whether a row ends the command with 1. */
export function isBad(row: Row): boolean {
  const verdict = row.at(-1) ?? "";
  return verdict === "MISSED" || verdict.startsWith("FAILED");
}

/** Lines with columns of equal width. */
export function printTable(rows: readonly Row[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}
