import { accessSync, constants, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import { StatorError } from "#lib/base/errors";
import { keysOf } from "#lib/base/option";
import { RULE_CONSTANTS } from "#lib/routing/options";
import { largestDifferences } from "#lib/simulation/replay/report/differences";
import { figuresOf } from "#lib/simulation/replay/report/figures";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import type { Command, CommandContext } from "../command.ts";
import { type CapturedCluster, printTaken, readCapturedCluster } from "../replay/captured-cluster.ts";
import { elsewhereRuns, fidelitiesOf, printFidelities } from "../replay/captured-report.ts";
import { type Comparison, printComparison, printRow } from "../replay/decisions.ts";
import { FIGURE_COLUMNS, TIMING_COLUMNS, withCeiling } from "../replay/figures-table.ts";
import { printPage } from "../replay/page.ts";
import { REPLAY_OPTIONS } from "../replay/replay-options.ts";
import { checkTogether, placesOf, planRuns, planSetup } from "../replay/replay-plan.ts";
import { ReplayProgress } from "../replay/replay-progress.ts";
import { printJson, type ReplayFindings, reportOf } from "../replay/replay-report.ts";
import type { ReplayRun, ReplaySetup, RunRecord } from "../replay/replay-run.ts";
import { runAll } from "../replay/run-all.ts";
import { readTrace } from "../replay/trace-file.ts";
import { planTuning, printTunings, tuningsOf } from "../replay/tuning.ts";
import { printTable } from "../table.ts";

/** `stator replay`: what rules of routing would have done with a trace. */
export const replay: Command = {
  name: "replay",
  arguments: "TRACE",
  summary: "what rules of routing would do with a trace, in seconds and without a GPU",
  help:
    "Replays a trace of requests on virtual time, with the router and the scheduler of this program and engines that only\n" +
    "take time, once for each rule. It prints hits, times to the first token and between tokens, and how evenly workers were\n" +
    "loaded. Ctrl-C prints what is there so far. docs/replay.md tells how to read it, and what it cannot promise.",
  says: { workers: "Workers of the cluster.", json: "Print JSON for programs in place of tables." },
  options: [
    ...(["rule", "workers"] as const),
    ...keysOf(REPLAY_OPTIONS).filter((key) => key !== "rule"),
    ...(["json", "router.predicted-ttl-ms"] as const),
    ...Object.values(RULE_CONSTANTS),
  ],
  run: runReplay,
};

/** Requests that a comparison names. */
const COMPARED = 5;

/** What is replayed, and on what. */
interface Scene {
  readonly trace: string;
  readonly rows: readonly TraceRow[];
  readonly setup: ReplaySetup;
  readonly places: number;
  /** Where the trace was captured. */
  readonly captured: CapturedCluster | undefined;
}

async function runReplay(given: CommandContext): Promise<number> {
  const [path, ...more] = given.positional;
  if (path === undefined || more.length > 0) {
    const detail =
      "Name one trace: stator replay TRACE. --json prints to standard output: stator replay TRACE --json > FILE.";
    throw new StatorError("BAD_CONFIG", { detail });
  }
  const captured = readCapturedCluster(path, given.config);
  const context = { ...given, values: captured?.values ?? given.values };
  const { values } = context;
  checkTogether(values);
  if (values.html !== undefined) checkPlace(values.html);
  const setup = captured?.complete(planSetup(values)) ?? planSetup(values);
  const runs = planRuns(values);
  const tuning = values.tune === undefined ? undefined : planTuning(values.tune, values, runs);
  const rows = readTrace(path);
  if (values.explain !== undefined && values.explain >= rows.length) {
    throw new StatorError("BAD_CONFIG", { detail: `--explain: the trace has rows 0 to ${rows.length - 1}.` });
  }
  const scene: Scene = { trace: basename(path), rows, setup, places: placesOf(setup), captured };
  if (!values.json) {
    const warnings = captured?.warnings.map((each) => `${context.screen.paint.yellow(each)}\n`) ?? [];
    context.print([`${headOf(scene, values)}\n`, ...warnings].join(""));
  }
  if (tuning) return tune(tuning, scene, context);
  return compareRules(runs, scene, context);
}

async function compareRules(runs: readonly ReplayRun[], scene: Scene, context: CommandContext): Promise<number> {
  const { values, print, screen } = context;
  const records = await replayAll(runs, scene, context);
  const isComplete = isWhole(runs, records);
  const comparison = values.compare && isComplete ? await compare(records, scene, context) : undefined;
  const fidelities = fidelitiesOf(records, scene.rows, scene.captured);
  const again = await replayAll(elsewhereRuns(records, fidelities), scene, context);
  const reports = records.map((record) => reportOf(record, { rows: scene.rows.length, places: scene.places }));
  const findings: ReplayFindings = {
    ...scene,
    rows: scene.rows.length,
    seed: values.seed,
    isComplete,
    reports,
    comparison,
    fidelities,
  };
  const { html } = values;
  if (html !== undefined && reports.length > 0) {
    const page = printPage(reports, { head: headOf(scene, values), places: scene.places, comparison });
    writing(html, () => writeFileSync(html, page));
  }
  if (values.json) print(printJson(findings, values.timings));
  else if (reports.length > 0) {
    for (const part of partsOf(findings, context)) print(part);
    if (fidelities.length > 0) print(`\n${printFidelities(fidelities, again, screen.paint)}`);
  } else print(screen.paint.yellow("Stopped before any request had ended."));
  return isComplete ? 0 : 1;
}

/** What is printed for people, part by part. */
function partsOf({ reports, comparison }: ReplayFindings, { values, screen }: CommandContext): string[] {
  const { paint } = screen;
  const notes = reports.flatMap(({ name, record, figures }) => [
    ...record.refusals.map((refusal) =>
      paint.yellow(`${record.run.name} refused ${figures.refused}, such as: ${refusal}`),
    ),
    ...(record.isComplete && figures.unended > 0
      ? [paint.yellow(`${name}: ${figures.unended} requests never ended, because no worker was there.`)]
      : []),
  ]);
  const decisions = reports.map(({ record }) =>
    values.explain === undefined
      ? undefined
      : (printRow(record, values.explain, paint) ??
        `Row ${values.explain} with ${record.run.name}: no decision is kept.`),
  );
  return [
    printTable([...FIGURE_COLUMNS, ...TIMING_COLUMNS], withCeiling(reports)),
    ...notes,
    ...decisions.flatMap((decision) => (decision === undefined ? [] : [`\n${decision}`])),
    ...(comparison ? [`\n${printComparison(comparison, paint)}`] : []),
  ];
}

/** The same two replays again, this time with the decisions about the requests that they treat most differently. */
async function compare(records: readonly RunRecord[], scene: Scene, context: CommandContext): Promise<Comparison> {
  const [left, right] = [records[0]!, records[1]!];
  const differences = largestDifferences(left.outcomes, right.outcomes, COMPARED);
  const explained = differences.map(({ row }) => row);
  const again = [left, right].map(({ run }) => ({ ...run, explained, explainsLongest: false }));
  const [leftAgain = left, rightAgain = right] = await replayAll(again, scene, context);
  return { differences, records: [leftAgain, rightAgain] };
}

async function tune(plan: ReturnType<typeof planTuning>, scene: Scene, context: CommandContext): Promise<number> {
  const { values, print, screen } = context;
  const runs = plan.map(({ run }) => run);
  const records = await replayAll(runs, scene, context);
  const isComplete = isWhole(runs, records);
  if (!isComplete) {
    print(
      screen.paint.yellow(
        `Stopped after ${records.length} of ${runs.length} replays: nothing can be said of noise yet.`,
      ),
    );
    return 1;
  }
  const about = { rows: scene.rows.length, places: scene.places };
  const results = records.map(({ outcomes }) => figuresOf(outcomes, about).ttftMs.mean);
  const tunings = tuningsOf(plan, results, values.tune ?? "");
  const findings = { ...scene, rows: about.rows, seed: values.seed, isComplete, reports: [], tunings };
  if (values.json) print(printJson(findings, values.timings));
  else print(printTunings(tunings, values.seeds));
  return 0;
}

async function replayAll(
  runs: readonly ReplayRun[],
  { rows, setup }: Scene,
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

function isWhole(runs: readonly ReplayRun[], records: readonly RunRecord[]): boolean {
  return records.length === runs.length && records.every(({ isComplete }) => isComplete);
}

function headOf({ trace, rows, setup, captured }: Scene, { profile, seed }: CommandContext["values"]): string {
  const { workers, blocks, blockTokens, speed } = setup;
  const cluster = `${workers} workers of ${blocks} blocks of ${blockTokens} tokens, profile ${captured?.profile ?? basename(profile)}`;
  return `${rows.length} requests of ${trace} at ${speed} times their speed on ${cluster}, seed ${seed}. Times in ms.${captured ? `\n${printTaken(captured)}` : ""}`;
}

/** Nobody waits for a page that cannot be written. */
function checkPlace(path: string): void {
  writing(path, () => accessSync(dirname(path), constants.W_OK));
}

/** Throws BAD_CONFIG where a page cannot be written. */
function writing(path: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StatorError("BAD_CONFIG", { detail: `--html: ${path} cannot be written: ${code}.` }, { cause: error });
  }
}
