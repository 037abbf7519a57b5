import { accessSync, constants, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import { type Reason, StatorError } from "#lib/base/errors";
import { keysOf } from "#lib/base/option";
import { RULE_CONSTANTS, SPLIT_OPTIONS } from "#lib/routing/options";
import { largestDifferences } from "#lib/simulation/replay/report/differences";
import { figuresOf } from "#lib/simulation/replay/report/figures";
import type { Command, CommandContext } from "../command.ts";
import { type CapturedCluster, printTaken, readCapturedCluster } from "../replay/captured-cluster.ts";
import { fidelitiesOf, printFidelities, runsElsewhere, withReasons } from "../replay/captured-report.ts";
import { checkTogether } from "../replay/check-together.ts";
import { type Comparison, printComparison, printRow } from "../replay/decisions.ts";
import { figureColumns, TIMING_COLUMNS, withCeiling } from "../replay/figures-table.ts";
import { printPage } from "../replay/page.ts";
import { REPLAY_OPTIONS } from "../replay/replay-options.ts";
import { oneFile, placesOf, planRuns, planSetup, planSource, planSplits } from "../replay/replay-plan.ts";
import { ReplayProgress } from "../replay/replay-progress.ts";
import { printJson, type ReplayFindings, reportOf } from "../replay/replay-report.ts";
import type { ReplayRun, ReplaySetup, RunRecord } from "../replay/replay-run.ts";
import { runAll } from "../replay/run-all.ts";
import { rowsOf, type SharedTrace, shareTrace } from "../replay/shared-trace.ts";
import { isSplit, nameOfSplit, type Split } from "../replay/splits.ts";
import { planTuning, printTunings, tuningsOf } from "../replay/tuning.ts";
import { printTable } from "../table.ts";
import { runReplayDecisions } from "./replay-decisions.ts";

/** `stator replay`: what rules of routing would have done with a trace. */
export const replay: Command = {
  arguments: "[TRACE]",
  help:
    "Replays a trace of requests, or made-up traffic, on virtual time, with the router and the scheduler of this program and\n" +
    "engines that only take time, once for each rule. It prints hits, times to the first token and between tokens, and how\n" +
    "evenly workers were loaded. Ctrl-C prints what is there so far. A trace of stator capture is replayed on the workers\n" +
    "that it was captured on, beside what was seen; with --router-only its decisions are made once more instead.\n" +
    "docs/replay.md tells how to read it, and what it cannot promise.",
  says: {
    workers: "Workers of the cluster that do all of an answer; none beside --prefill and --decode unless it is said.",
    prefill: "Workers beside them that compute prompts and first tokens.",
    decode: "Workers beside them that go on with answers whose prompts are computed.",
    json: "Print JSON for programs in place of tables.",
  },
  options: [
    ...(["rule", "workers", "prefill", "decode"] as const),
    ...keysOf(REPLAY_OPTIONS).filter((key) => key !== "rule"),
    ...(["json", "router.predicted-ttl-ms"] as const),
    ...Object.values(RULE_CONSTANTS),
    ...SPLIT_OPTIONS,
  ],
  async run(context) {
    try {
      return await runReplay(context);
    } catch (error) {
      // What is wrong with a trace is wrong with what was asked for.
      if (!(error instanceof StatorError) || !WRONG_TRACE.includes(error.reason)) throw error;
      throw new StatorError("BAD_CONFIG", { detail: error.message }, { cause: error });
    }
  },
};

/** How the rooms below tell of a trace that is wrong. */
const WRONG_TRACE: readonly Reason[] = ["INVALID_ARGUMENT", "CORRUPT"];
/** Requests that a comparison names. */
const COMPARED = 5;

/** What is replayed, and on what. */
interface Scene {
  /** What the trace is called. */
  readonly name: string;
  readonly trace: SharedTrace;
  readonly setup: ReplaySetup;
  /** Its clusters, at least one. */
  readonly splits: readonly Split[];
  readonly places: number;
  /** Where the trace was captured; undefined where nothing says it. */
  readonly captured: CapturedCluster | undefined;
}

async function runReplay(given: CommandContext): Promise<number> {
  const { config, positional } = given;
  checkTogether(config);
  if (given.values["router-only"]) {
    const rule = config.sources.rule === "default" ? undefined : given.values.rule[0];
    return runReplayDecisions({ path: oneFile(positional), rule }, given);
  }
  const isFile = given.values.synthetic.length === 0;
  const captured = isFile ? readCapturedCluster(oneFile(positional), config) : undefined;
  const context = captured ? { ...given, values: captured.values } : given;
  const { values } = context;
  const source = planSource(values, positional);
  if (values.html !== undefined) checkPlace(values.html);
  const splits = planSplits({ ...config, values });
  const planned = planSetup(values, splits);
  const setup = captured?.complete(planned) ?? planned;
  const runs = planRuns(values, splits);
  const tuning = values.tune === undefined ? undefined : planTuning(values.tune, values, runs);
  const trace = shareTrace(source);
  if (values.explain !== undefined && values.explain >= trace.count) {
    throw new StatorError("BAD_CONFIG", { detail: `--explain: the trace has rows 0 to ${trace.count - 1}.` });
  }
  const name = source.kind === "file" ? basename(source.path) : "made-up traffic";
  const scene: Scene = { name, trace, setup, splits, places: placesOf(setup), captured };
  if (!values.json) context.print(`${beginningOf(scene, context)}\n`);
  if (tuning) return tune(tuning, scene, context);
  return compareRules(runs, scene, context);
}

async function compareRules(runs: readonly ReplayRun[], scene: Scene, context: CommandContext): Promise<number> {
  const { values, print, screen } = context;
  const records = await replayAll(runs, scene, context);
  const isComplete = isWhole(runs, records);
  const comparison = values.compare && isComplete ? await compare(records, scene, context) : undefined;
  const fidelities = isComplete ? await besideCapture(records, scene, context) : [];
  const reports = records.map((record) => reportOf(record, aboutOf(scene, record)));
  const findings: ReplayFindings = { ...foundOn(scene, values), isComplete, reports, comparison, fidelities };
  const { html } = values;
  if (html !== undefined && reports.length > 0) {
    const page = printPage(reports, { head: headOf(scene, values), places: scene.places, comparison });
    writing(html, () => writeFileSync(html, page));
  }
  if (values.json) print(printJson(findings, values.timings));
  else if (reports.length > 0) for (const part of partsOf(findings, context)) print(part);
  else print(screen.paint.yellow("Stopped before any request had ended."));
  return isComplete ? 0 : 1;
}

/** What is printed for people, part by part. */
function partsOf({ reports, comparison, fidelities }: ReplayFindings, { values, screen }: CommandContext): string[] {
  const { paint } = screen;
  const notes = reports.flatMap(({ record, figures }) =>
    record.refusals.map((refusal) =>
      paint.yellow(`${record.run.name} refused ${figures.refused}, such as: ${refusal}`),
    ),
  );
  const decisions = reports.map(({ record }) =>
    values.explain === undefined
      ? undefined
      : (printRow(record, values.explain, paint) ??
        `Row ${values.explain} with ${record.run.name}: no decision is kept.`),
  );
  return [
    printTable([...figureColumns(reports), ...TIMING_COLUMNS], withCeiling(reports)),
    ...notes,
    ...decisions.flatMap((decision) => (decision === undefined ? [] : [`\n${decision}`])),
    ...(comparison ? [`\n${printComparison(comparison, paint)}`] : []),
    ...(fidelities.length > 0 ? [`\n${printFidelities(fidelities, paint)}`] : []),
  ];
}

/** The replays beside what was captured; once more where rows went elsewhere, this time with the decisions about the first of those. */
async function besideCapture(records: readonly RunRecord[], scene: Scene, context: CommandContext) {
  const fidelities = fidelitiesOf(records, rowsOf(scene.trace), scene.captured);
  return withReasons(fidelities, await replayAll(runsElsewhere(records, fidelities), scene, context));
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
  const results = records.map((record) => figuresOf(record.outcomes, aboutOf(scene, record)).ttftMs.mean);
  const tunings = tuningsOf(plan, results, values.tune ?? "");
  const findings = { ...foundOn(scene, values), isComplete, reports: [], fidelities: [], tunings };
  if (values.json) print(printJson(findings, values.timings));
  else print(printTunings(tunings, values.seeds));
  return 0;
}

async function replayAll(
  runs: readonly ReplayRun[],
  { trace, setup }: Scene,
  { values, screen, stopped }: CommandContext,
): Promise<readonly RunRecord[]> {
  const progress = new ReplayProgress(screen);
  const threads = values.threads === "auto" ? availableParallelism() : values.threads;
  try {
    return await runAll(runs, {
      ...{ trace, setup, threads, stopped },
      onProgress: (ended) => progress.show(ended, trace.count * runs.length),
    });
  } finally {
    progress.clear();
  }
}

function isWhole(runs: readonly ReplayRun[], records: readonly RunRecord[]): boolean {
  return records.length === runs.length && records.every(({ isComplete }) => isComplete);
}

function aboutOf({ trace, setup }: Scene, { run }: RunRecord) {
  return { rows: trace.count, places: placesOf({ ...setup, ...run }) };
}

function foundOn({ name, trace, setup, captured }: Scene, { seed }: CommandContext["values"]) {
  return { trace: name, rows: trace.count, setup, captured, seed };
}

/** What is printed before anything runs. */
function beginningOf(scene: Scene, { values, screen }: CommandContext): string {
  const { captured } = scene;
  const told = captured ? [printTaken(captured), ...captured.warnings.map(screen.paint.yellow)] : [];
  return [headOf(scene, values), ...told].join("\n");
}

function headOf({ name, trace, setup, splits, captured }: Scene, { profile, seed }: CommandContext["values"]): string {
  const { blocks, blockTokens, likeReference } = setup;
  const [first, ...others] = splits;
  const workers = others.length === 0 && !isSplit(first!) ? first!.aggregated : splits.map(nameOfSplit).join(", ");
  const cluster = `${workers} workers of ${blocks} blocks of ${blockTokens} tokens, profile ${captured?.profile ?? basename(profile)}`;
  const like = likeReference ? " and engines like the reference's" : "";
  return `${trace.count} requests of ${name} ${printLoad(setup)} on ${cluster}${like}, seed ${seed}. Times in ms.`;
}

function printLoad({ load, speed }: ReplaySetup): string {
  if (load?.kind === "closed") return `with ${load.concurrency} in flight`;
  return `at ${speed} times their speed${load?.kind === "sessions" ? " and turn by turn" : ""}`;
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
