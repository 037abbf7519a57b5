import { StatorError } from "#lib/base/errors";
import type { BypassName } from "#lib/routing/legs/bypass";
import { readDisaggregation, readRuleConstants } from "#lib/routing/options";
import type { RuleName } from "#lib/routing/rules/table";
import type { Load } from "#lib/simulation/replay/arrivals/load";
import type { FleetChange } from "#lib/simulation/replay/replay";
import type { CliConfig } from "../command.ts";
import { readProfile } from "./profile-file.ts";
import type { ReplayRun, ReplaySetup } from "./replay-run.ts";
import type { TraceSource } from "./shared-trace.ts";
import { ALL, isSplit, nameOfSplit, rolesOf, type Split, splitsOf, workersOf } from "./splits.ts";
import { trafficOf } from "./traffic-option.ts";

type Values = CliConfig["values"];

/** The clusters of a command: one unless `--splits` says more. Throws BAD_CONFIG for what cannot be. */
export function planSplits({ values, sources }: Pick<CliConfig, "values" | "sources">): readonly Split[] {
  const { workers, prefill, decode, splits } = values;
  const isOne = prefill + decode > 0;
  if (isOne && splits.length > 0) {
    throw new StatorError("BAD_CONFIG", {
      detail: "--prefill and --decode are one cluster, and --splits names several.",
    });
  }
  if (isOne && (prefill === 0 || decode === 0) && sources.workers === "default") {
    const lacking = prefill === 0 ? "--prefill" : "--decode";
    throw new StatorError("BAD_CONFIG", {
      detail: `Nobody does the other part of an answer: add ${lacking}, or --workers.`,
    });
  }
  if (isOne) return [{ aggregated: sources.workers === "default" ? 0 : workers, prefill, decode }];
  if (splits.length === 0) return [{ aggregated: workers, prefill: 0, decode: 0 }];
  const named = splits.flatMap((split) => (split === ALL ? splitsOf(workers) : [split]));
  return [...new Map(named.map((split) => [nameOfSplit(split), split])).values()];
}

/** What all replays have in common, by the options. Throws BAD_CONFIG for what cannot be. */
export function planSetup(values: Values, splits: readonly Split[] = []): ReplaySetup {
  const workers = splits.length > 0 ? Math.max(...splits.map(workersOf)) : values.workers;
  const changes = planChanges(values, workers);
  const places = placesOf({ workers, changes });
  const missing = values["worker-speed"].find(({ place }) => place >= places);
  if (missing) throw noPlace("worker-speed", missing.place, places);
  return {
    ...{ workers, changes },
    traceBlockTokens: values["trace-block-tokens"],
    blockTokens: values["block-tokens"],
    blocks: values.blocks,
    profile: readProfile(values.profile),
    speed: values.speed,
    load: planLoad(values),
    sessions: values.sessions === "second-block" ? "second-block" : "rows",
    likeReference: values["like-reference"],
    speeds: new Map(values["worker-speed"].map(({ place, value }) => [place, value])),
  };
}

/** Where the requests come from: the one file that was named, or what the options make up. Throws BAD_CONFIG where it is not one of both. */
export function planSource(values: Values, files: readonly string[]): TraceSource {
  const [path] = files;
  const blockTokens = values["trace-block-tokens"];
  if (values.synthetic.length > 0) {
    if (path !== undefined) {
      throw new StatorError("BAD_CONFIG", { detail: `--synthetic is in place of a trace, and ${path} is one.` });
    }
    return { kind: "traffic", traffic: trafficOf(values.synthetic, { seed: BigInt(values.seed), blockTokens }) };
  }
  return { kind: "file", path: oneFile(files), options: { format: values["trace-format"], blockTokens } };
}

/** The one file that was named. Throws BAD_CONFIG. */
export function oneFile(files: readonly string[]): string {
  const [path, ...more] = files;
  if (path !== undefined && more.length === 0) return path;
  const detail =
    "Name one trace: stator replay TRACE. --json prints to standard output: stator replay TRACE --json > FILE.";
  throw new StatorError("BAD_CONFIG", { detail });
}

/** Places that workers have at any time. */
export function placesOf({ workers, changes = [] }: Pick<ReplaySetup, "workers" | "changes">): number {
  return changes.reduce(
    (places, { what, worker }) => (what === "join" ? Math.max(places, worker + 1) : places),
    workers,
  );
}

/** One replay for each cluster and rule. */
export function planRuns(values: Values, splits: readonly Split[] = []): readonly ReplayRun[] {
  const whole: Split = { aggregated: values.workers, prefill: 0, decode: 0 };
  const clusters = splits.length > 0 ? splits : [whole];
  return clusters.flatMap((split) => planRules(values, split, clusters.length > 1 || isSplit(split)));
}

/** What one replay is of a cluster. */
interface RunAbout {
  readonly name: string;
  /** Its cluster is in the name, and its own. */
  readonly isNamed: boolean;
  readonly rule: RuleName;
  /** Where prompts may be computed apart. */
  readonly bypass?: BypassName;
}

function planRules(values: Values, split: Split, isNamed: boolean): ReplayRun[] {
  const rules = [...new Set(values.rule)];
  const base = (rule: RuleName) => (isNamed ? `${nameOfSplit(split)} ${rule}` : rule);
  if (split.prefill === 0) return rules.map((rule) => planRun(values, split, { name: base(rule), isNamed, rule }));
  return rules.flatMap((rule) =>
    [...new Set(values.bypass)].map((bypass) =>
      planRun(values, split, { name: `${base(rule)} ${bypass}`, isNamed, rule, bypass }),
    ),
  );
}

function planRun(values: Values, split: Split, about: RunAbout): ReplayRun {
  const { name, isNamed, rule, bypass } = about;
  return {
    name,
    ...(isNamed && { workers: workersOf(split) }),
    ...(isSplit(split) && { roles: rolesOf(split) }),
    routing: {
      rule,
      constants: readRuleConstants(values),
      predictedTtlMs: values["router.predicted-ttl-ms"],
      ...(bypass && { split: { ...readDisaggregation(values), bypass } }),
    },
    seed: BigInt(values.seed),
    explained: values.explain === undefined ? [] : [values.explain],
    explainsLongest: values.html !== undefined,
  };
}

function planLoad({ concurrency, sessions }: Values): Load {
  if (concurrency !== undefined) return { kind: "closed", concurrency };
  return { kind: sessions === "off" ? "open" : "sessions" };
}

function planChanges(values: Values, workers: number): readonly FleetChange[] {
  const joins = values.join.map(({ place, value }) => ({ atMs: value, worker: place, what: "join" as const }));
  const fails = values.fail.map(({ place, value }) => ({ atMs: value, worker: place, what: "fail" as const }));
  const places = placesOf({ workers, changes: joins });
  const gap = joins.find(({ worker }) => worker > workers + joins.length - 1);
  if (gap) throw noPlace("join", gap.worker, workers + joins.length);
  const missing = fails.find(({ worker }) => worker >= places);
  if (missing) throw noPlace("fail", missing.worker, places);
  return [...fails, ...joins].sort((left, right) => left.atMs - right.atMs);
}

function noPlace(option: string, place: number, places: number): StatorError {
  const detail = `--${option} names worker ${place}, and there are ${places}: places count from 0 to ${places - 1}.`;
  return new StatorError("BAD_CONFIG", { detail });
}
