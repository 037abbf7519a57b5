// npm run bench [-- [--list] [--repeat N] PATTERN…]: runs the cases whose name contains a pattern, each in a process of
// its own and one after the other, and prints one table. Ends with 1 when a case failed or missed a bound.
import { spawn } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { type BenchCase, type Bound, CASES } from "./cases.ts";
import { median } from "./harness.ts";

type Figures = Readonly<Record<string, unknown>>;

/** One row of the table. */
type Row = readonly [name: string, figure: string, value: string, bound: string, verdict: string];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { list: { type: "boolean" }, repeat: { type: "string", default: "1" }, verbose: { type: "boolean" } },
});

/** Runs one case once. Rejects with what it wrote when it printed no figures. */
function runCase(name: string, { file }: BenchCase): Promise<Figures> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, "cases", file), name], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data) => {
    stdout += data;
  });
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  return new Promise((resolve, reject) => {
    child.once("close", () => {
      const line = stdout.split("\n").find((each) => each.startsWith(`${name} {`));
      if (values.verbose) process.stdout.write(stdout);
      if (line) resolve(JSON.parse(line.slice(name.length + 1)) as Figures);
      else reject(new Error((stderr || stdout).trim().split("\n").at(-1) || "It printed nothing"));
    });
  });
}

function holds(value: number, bound: Bound): boolean {
  return "atMost" in bound ? value <= bound.atMost : value >= bound.atLeast;
}

function print(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** The rows of one case: a row for each bound, with the median of all runs. */
function rowsOf(name: string, { bounds }: BenchCase, runs: readonly Figures[]): Row[] {
  const skipped = runs[0]?.skipped;
  if (skipped !== undefined) return [[name, "", "", "", `skipped: ${skipped}`]];
  return Object.entries(bounds).map(([figure, bound]) => {
    const value = median(runs.map((figures) => Number(figures[figure])));
    const limit = "atMost" in bound ? `<= ${print(bound.atMost)}` : `>= ${print(bound.atLeast)}`;
    return [name, figure, print(value), limit, holds(value, bound) ? "holds" : "MISSED"];
  });
}

async function measure(name: string, bench: BenchCase, repeat: number): Promise<Row[]> {
  const runs: Figures[] = [];
  try {
    for (let run = 0; run < repeat; run++) runs.push(await runCase(name, bench));
    return rowsOf(name, bench, runs);
  } catch (error) {
    return [[name, "", "", "", `FAILED: ${error instanceof Error ? error.message : error}`]];
  }
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  for (const row of rows) {
    const cells = row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)));
    process.stdout.write(`${cells.join("  ").trimEnd()}\n`);
  }
}

const chosen = Object.entries(CASES).filter(
  ([name]) => positionals.length === 0 || positionals.some((pattern) => name.includes(pattern)),
);
const repeat = Number(values.repeat);
if (!Number.isInteger(repeat) || repeat < 1) {
  process.stderr.write("--repeat takes a whole number from 1.\n");
  process.exitCode = 2;
} else if (chosen.length === 0) {
  process.stderr.write(`No case contains ${positionals.join(" or ")}. --list names all of them.\n`);
  process.exitCode = 2;
} else if (values.list) {
  printTable(chosen.map(([name, { file, about }]) => [name, file, about]));
} else {
  const rows: Row[] = [["case", "figure", "value", "bound", "verdict"]];
  for (const [name, bench] of chosen) {
    process.stderr.write(`${name} …\n`);
    rows.push(...(await measure(name, bench, repeat)));
  }
  printTable(rows);
  if (rows.some(([, , , , verdict]) => verdict === "MISSED" || verdict.startsWith("FAILED"))) process.exitCode = 1;
}
