// npm run bench [-- [--list] [--small] [--repeat N] [--against COMMIT] [--peer PYTHON] [--verbose] PATTERN…]: runs the cases
// whose name contains a pattern, each in a process of its own and one after the other, and prints one table. With
// --against the same cases run in turn here and in that commit, with --peer beside another system. Ends with 1 when a case failed or missed a bound.
import { spawn } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";
import { cacheFolder } from "./cache.ts";
import { type BenchCase, CASES } from "./cases.ts";
import { checkoutCommit } from "./checkout.ts";
import { type Figures, HEADS, isBad, printTable, type Row, rowsAgainst, rowsOf } from "./report.ts";

const HERE = path.join(import.meta.dirname, "../..");

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: "boolean" },
    small: { type: "boolean", default: false },
    repeat: { type: "string" },
    against: { type: "string" },
    peer: { type: "string" },
    verbose: { type: "boolean" },
  },
});

/** Runs one case once, of the checkout with this root. Rejects with what it wrote when it printed no figures. */
function runCase(name: string, { file }: BenchCase, root: string): Promise<Figures> {
  const env = {
    ...process.env,
    ...(values.small && { BENCH_VOLUME: "small" }),
    ...(values.peer !== undefined && { BENCH_PEER: values.peer }),
    // Runs that take turns with another commit are starts already.
    ...(values.against !== undefined && { BENCH_STARTS: "1" }),
  };
  const child = spawn(process.execPath, [path.join(root, "test/bench/cases", file), name], {
    cwd: root,
    env,
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
      else reject(new Error(sentenceOf(stderr || stdout)));
    });
  });
}

/** The line of a stack trace that says what happened, else the last one. */
function sentenceOf(output: string): string {
  const lines = output.trim().split("\n");
  return lines.find((line) => /^(?:\w*Error|\w+): /.test(line)) ?? (lines.at(-1) || "It printed nothing");
}

/** Who comes first takes turns too: the second finds the machine as the first left it. */
async function runInTurn(
  name: string,
  bench: BenchCase,
  roots: readonly string[],
  repeat: number,
): Promise<Figures[][]> {
  const runs: Figures[][] = roots.map(() => []);
  for (let run = 0; run < repeat; run++) {
    const order = [...roots.entries()];
    if (run % 2 === 1) order.reverse();
    for (const [at, root] of order) runs[at]!.push(await runCase(name, bench, root));
  }
  return runs;
}

async function measure(name: string, bench: BenchCase, beside: string | undefined, repeat: number): Promise<Row[]> {
  const roots = beside === undefined ? [HERE] : [HERE, beside];
  const judged = !values.small;
  try {
    const [here = [], there] = await runInTurn(name, bench, roots, repeat);
    return there ? rowsAgainst(name, bench, { here, there, judged }) : rowsOf(name, bench, here, judged);
  } catch (error) {
    const empty = new Array<string>((beside === undefined ? HEADS.alone : HEADS.against("")).length - 2).fill("");
    return [[name, ...empty, `FAILED: ${error instanceof Error ? error.message : error}`]];
  }
}

async function runAll(chosen: readonly (readonly [string, BenchCase])[], repeat: number): Promise<void> {
  if (values.against !== undefined) process.stderr.write(`building ${values.against} …\n`);
  const beside =
    values.against === undefined ? undefined : checkoutCommit(values.against, { root: HERE, cache: cacheFolder() });
  const rows: Row[] = [beside ? HEADS.against(beside.commit) : HEADS.alone];
  for (const [name, bench] of chosen) {
    process.stderr.write(`${name} …\n`);
    rows.push(...(await measure(name, bench, beside?.root, repeat)));
  }
  process.stdout.write(printTable(rows));
  if (rows.some(isBad)) process.exitCode = 1;
}

function refuse(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
  process.exitCode = 2;
}

/** The case as it is judged in this run. */
function asJudged({ peerBounds, ...bench }: BenchCase): BenchCase {
  return values.peer === undefined ? bench : { ...bench, bounds: { ...bench.bounds, ...peerBounds } };
}

const chosen = Object.entries(CASES)
  .filter(([name]) => positionals.length === 0 || positionals.some((pattern) => name.includes(pattern)))
  .map(([name, bench]) => [name, asJudged(bench)] as const);
const repeat = Number(values.repeat ?? (values.against === undefined || values.small ? 1 : 3));
if (!Number.isInteger(repeat) || repeat < 1) refuse("--repeat takes a whole number from 1.");
else if (chosen.length === 0) refuse(`No case contains ${positionals.join(" or ")}. --list names all of them.`);
else if (values.list) process.stdout.write(printTable(chosen.map(([name, { file, about }]) => [name, file, about])));
else await runAll(chosen, repeat).catch((error: Error) => refuse(error.message));
