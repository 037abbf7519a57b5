import { availableParallelism } from "node:os";
import { basename } from "node:path";
import { StatorError } from "#lib/base/errors";
import { keysOf } from "#lib/base/option";
import { type Figures, figuresOf } from "#lib/simulation/replay/report/figures";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import type { Command, CommandContext } from "../command.ts";
import { printFigures } from "../replay/figures-table.ts";
import { REPLAY_OPTIONS } from "../replay/replay-options.ts";
import { placesOf, planRuns, planSetup } from "../replay/replay-plan.ts";
import { ReplayProgress } from "../replay/replay-progress.ts";
import type { ReplayRun, ReplaySetup, RunRecord } from "../replay/replay-run.ts";
import { runAll } from "../replay/run-all.ts";
import { readTrace } from "../replay/trace-file.ts";

/** `stator replay`: what rules of routing would have done with a trace. */
export const replay: Command = {
  name: "replay",
  arguments: "TRACE",
  summary: "what rules of routing would do with a trace, in seconds and without a GPU",
  help:
    "Replays a trace of requests on virtual time with the router and the scheduler of this program and engines that only take\n" +
    "time, once for each rule, and prints hits, times to the first token and between tokens, and how evenly workers were\n" +
    "loaded. Ctrl-C prints what is there so far. docs/replay.md tells how to read it, and what it cannot promise.",
  says: { workers: "Workers of the cluster.", json: "Print JSON in place of tables." },
  options: [
    ...(["rule", "workers"] as const),
    ...keysOf(REPLAY_OPTIONS).filter((key) => key !== "rule"),
    ...(["json", "router.predicted-ttl-ms", "router.itl-target-ms", "router.temperature"] as const),
    ...(["router.kv-overlap-score-credit", "router.kv-overlap-score-credit-decay"] as const),
    ...(["router.prefill-load-scale", "router.decode-active-request-weight"] as const),
    ...(["router.balance-abs-threshold", "router.balance-rel-threshold", "router.cache-threshold"] as const),
  ],
  run: runReplay,
};

async function runReplay(context: CommandContext): Promise<number> {
  const { values, positional, print } = context;
  const [path, ...more] = positional;
  if (path === undefined || more.length > 0) {
    const detail = "Name one trace: stator replay TRACE. --json prints JSON to standard output: --json > FILE.";
    throw new StatorError("BAD_CONFIG", { detail });
  }
  const setup = planSetup(values);
  const rows = readTrace(path);
  const runs = planRuns(values);
  const records = await replayAll(runs, { rows, setup }, context);
  const places = placesOf(setup);
  const reports = records.map((record) => ({
    ...record,
    figures: figuresOf(record.outcomes, { rows: rows.length, places }),
  }));
  if (reports.length > 0) {
    print(printHead(basename(path), rows, setup));
    print(printFigures(reports.map((report) => ({ ...report, name: nameOf(report, rows.length) }))));
  }
  return reports.length === runs.length && reports.every(({ isComplete }) => isComplete) ? 0 : 1;
}

async function replayAll(
  runs: readonly ReplayRun[],
  { rows, setup }: { readonly rows: readonly TraceRow[]; readonly setup: ReplaySetup },
  { values, screen, stopped }: CommandContext,
): Promise<readonly RunRecord[]> {
  const progress = new ReplayProgress(screen);
  const threads = values.threads === "auto" ? availableParallelism() : values.threads;
  try {
    return await runAll(runs, {
      ...{ rows, setup, threads, stopped },
      onProgress: (ended) => progress.show(ended, rows.length * runs.length),
    });
  } finally {
    progress.clear();
  }
}

function nameOf({ run, isComplete, figures }: RunRecord & { figures: Figures }, rows: number): string {
  const ended = rows - figures.unended;
  return isComplete ? run.name : `${run.name}, incomplete: ${ended} of ${rows}`;
}

function printHead(trace: string, rows: readonly TraceRow[], setup: ReplaySetup): string {
  const { workers, blocks, blockTokens, speed } = setup;
  return `${rows.length} requests of ${trace}, ${speed} times as fast, on ${workers} workers of ${blocks} blocks of ${blockTokens} tokens. Times are ms.\n`;
}
