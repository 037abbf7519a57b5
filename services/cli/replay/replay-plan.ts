import { StatorError } from "#lib/base/errors";
import { readRuleConstants } from "#lib/routing/options";
import type { FleetChange } from "#lib/simulation/replay/replay";
import type { CliConfig } from "../command.ts";
import { readProfile } from "./profile-file.ts";
import type { ReplayRun, ReplaySetup } from "./replay-run.ts";

type Values = CliConfig["values"];

/** What all replays have in common, by the options. Throws BAD_CONFIG for what cannot be. */
export function planSetup(values: Values): ReplaySetup {
  const workers = values.workers;
  const changes = planChanges(values);
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
    speeds: new Map(values["worker-speed"].map(({ place, value }) => [place, value])),
  };
}

/** Throws BAD_CONFIG for options that say nothing together. */
export function checkTogether({ tune, compare, explain, html, rule }: Values): void {
  if (tune !== undefined && (compare || explain !== undefined || html !== undefined)) {
    const detail = "--tune replays with many seeds: --compare, --explain and --html are for replays with one.";
    throw new StatorError("BAD_CONFIG", { detail });
  }
  if (compare && new Set(rule).size < 2) {
    throw new StatorError("BAD_CONFIG", { detail: "--compare needs two rules, such as --rule ttft,dynamo." });
  }
}

/** Places that workers have at any time. */
export function placesOf({ workers, changes = [] }: Pick<ReplaySetup, "workers" | "changes">): number {
  return changes.reduce(
    (places, { what, worker }) => (what === "join" ? Math.max(places, worker + 1) : places),
    workers,
  );
}

/** One replay for each rule. */
export function planRuns(values: Values): readonly ReplayRun[] {
  return [...new Set(values.rule)].map((rule) => ({
    name: rule,
    routing: { rule, constants: readRuleConstants(values), predictedTtlMs: values["router.predicted-ttl-ms"] },
    seed: BigInt(values.seed),
    explained: values.explain === undefined ? [] : [values.explain],
    explainsLongest: values.html !== undefined,
  }));
}

function planChanges(values: Values): readonly FleetChange[] {
  const joins = values.join.map(({ place, value }) => ({ atMs: value, worker: place, what: "join" as const }));
  const fails = values.fail.map(({ place, value }) => ({ atMs: value, worker: place, what: "fail" as const }));
  const places = placesOf({ workers: values.workers, changes: joins });
  const gap = joins.find(({ worker }) => worker > values.workers + joins.length - 1);
  if (gap) throw noPlace("join", gap.worker, values.workers + joins.length);
  const missing = fails.find(({ worker }) => worker >= places);
  if (missing) throw noPlace("fail", missing.worker, places);
  return [...fails, ...joins].sort((left, right) => left.atMs - right.atMs);
}

function noPlace(option: string, place: number, places: number): StatorError {
  const detail = `--${option} names worker ${place}, and there are ${places}: places count from 0 to ${places - 1}.`;
  return new StatorError("BAD_CONFIG", { detail });
}
