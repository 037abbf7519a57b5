import { toJson } from "@bufbuild/protobuf";
import { ExplanationSchema } from "#gen/stator/router/v1/router_pb";
import type { Distribution } from "#lib/simulation/replay/report/distribution";
import { type Figures, figuresOf } from "#lib/simulation/replay/report/figures";
import { bestOf, verdictOf } from "#lib/simulation/replay/report/sweep";
import type { CapturedCluster } from "./captured-cluster.ts";
import { fidelityJson, type NamedFidelity } from "./captured-report.ts";
import type { Comparison } from "./decisions.ts";
import { explanationOf } from "./decisions.ts";
import type { ReplaySetup, RunRecord } from "./replay-run.ts";
import type { Tuning } from "./tuning.ts";

/** One replay and what came of it. */
export interface NamedReport {
  /** Of the rule; it says so where the replay did not come to its end. */
  readonly name: string;
  /** What was replayed. */
  readonly record: RunRecord;
  /** In numbers. */
  readonly figures: Figures;
  /** As in the record. */
  readonly gapMs: Distribution;
  /** As in the record. */
  readonly wallMs: number;
  /** As in the record. */
  readonly cpuMs: number;
}

/** Adds up what came of a replay of `rows` requests. */
export function reportOf(record: RunRecord, about: { readonly rows: number; readonly places: number }): NamedReport {
  const figures = figuresOf(record.outcomes, about);
  const { run, isComplete, gapMs, wallMs, cpuMs } = record;
  const ended = about.rows - figures.unended;
  const name = isComplete ? run.name : `${run.name}, incomplete: ${ended} of ${about.rows}`;
  return { name, record, figures, gapMs, wallMs, cpuMs };
}

/** Everything that a command found, for programs. */
export interface ReplayFindings {
  /** Name of the trace. */
  readonly trace: string;
  /** Its requests. */
  readonly rows: number;
  /** On what it was replayed. */
  readonly setup: ReplaySetup;
  /** Of the draws; the first one of a tuning. */
  readonly seed: number;
  /** All replays that were begun have come to their end. */
  readonly isComplete: boolean;
  /** One for each rule. */
  readonly reports: readonly NamedReport[];
  /** Where the trace was captured; absent where nothing says it. */
  readonly captured?: CapturedCluster | undefined;
  /** Replays beside what was captured; none where nothing was. */
  readonly fidelities: readonly NamedFidelity[];
  /** Where two rules were compared. */
  readonly comparison?: Comparison | undefined;
  /** Where a number was tuned. */
  readonly tunings?: readonly Tuning[];
}

/** The findings as JSON: the same seed gives the same bytes, unless what the replays took themselves is in it. */
export function printJson(findings: ReplayFindings, hasTimings: boolean): string {
  const { trace, rows, setup, seed, isComplete, reports, comparison, tunings } = findings;
  const { captured, fidelities } = findings;
  const { speeds, changes, profile, own, load, sessions, ...cluster } = setup;
  return JSON.stringify(
    {
      trace: { name: trace, requests: rows },
      cluster: {
        ...{ ...cluster, profile, workerSpeeds: Object.fromEntries(speeds ?? []), changes },
        ...(own && { own: Object.fromEntries(own) }),
      },
      ...(captured && { captured: { file: captured.file, options: captured.taken, warnings: captured.warnings } }),
      load: { ...load, sessions },
      seed,
      isComplete,
      ...(tunings
        ? { tunings: tunings.map(tuningJson) }
        : { rules: reports.map((each) => ruleJson(each, hasTimings)) }),
      ...(fidelities.length > 0 && { besideCapture: fidelities.map(fidelityJson) }),
      ...(comparison && { differences: differencesJson(comparison) }),
    },
    undefined,
    2,
  );
}

function ruleJson({ record, figures, wallMs, cpuMs }: NamedReport, hasTimings: boolean) {
  const { run, isComplete, gapMs, refusals, explanations, longest } = record;
  return {
    rule: run.name,
    constants: run.routing.constants,
    isComplete,
    ...(run.workers !== undefined && { cluster: { workers: run.workers, roles: run.roles ?? [] } }),
    ...figures,
    tokenGapMs: gapMs,
    refusals,
    ...(longest === undefined ? {} : { longestRow: longest }),
    decisions: [...explanations.keys()].map((row) => decisionJson(record, row)),
    ...(hasTimings && { timings: { wallMs, cpuMs } }),
  };
}

function decisionJson(record: RunRecord, row: number) {
  const explanation = explanationOf(record, row);
  return { row, rule: record.run.name, explanation: explanation && toJson(ExplanationSchema, explanation) };
}

function differencesJson({ differences, records }: Comparison) {
  const [left, right] = records.map(({ run }) => run.name);
  return differences.map(({ leftMs, rightMs, ...difference }) => ({
    ...difference,
    ttftMs: { [left!]: leftMs, [right!]: rightMs },
    decisions: records.map((record) => decisionJson(record, difference.row)),
  }));
}

function tuningJson({ rule, name, rows }: Tuning) {
  const best = bestOf(rows);
  return {
    ...{ rule, name },
    ttftMs: rows.map((row) => ({ ...row, verdict: verdictOf(row, best) })),
  };
}
