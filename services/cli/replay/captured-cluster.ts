import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { TimePriorSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { printId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { TILE_TOKENS } from "#lib/engines/schedule/options";
import type { TimePrior } from "#lib/perf/time-model";
import { NO_TIME, parseTimePrior } from "#lib/perf/time-prior";
import { RULE_CONSTANTS } from "#lib/routing/options";
import { RULE_NAMES } from "#lib/routing/rules/table";
import type { CapturedRoute } from "#lib/simulation/replay/captured-route";
import { type OwnShape, PROFILES, type Profile } from "#lib/simulation/replay/profile";
import { type AboutRank, aboutPath, type CaptureAbout } from "../capture/about.ts";
import type { CliConfig } from "../command.ts";
import type { OptionKey } from "../compose/options.ts";
import type { ReplaySetup } from "./replay-run.ts";

type Values = CliConfig["values"];

/** The cluster that a trace was captured on: what a replay of it is made on where nobody says anything else. */
export interface CapturedCluster {
  /** Name of the file that says so. */
  readonly file: string;
  /** The options as they are with it: what somebody said goes before. */
  readonly values: Values;
  /** Names of the options that come from it. */
  readonly taken: readonly string[];
  /** What is said of how fast they are in place of the option; undefined where it holds. */
  readonly profile: string | undefined;
  /** What a reader of figures should know of it, one sentence each. */
  readonly warnings: readonly string[];
  /** The setup, with what each worker is alone. */
  readonly complete: (setup: ReplaySetup) => ReplaySetup;
  /** Place of a captured worker in the replay; undefined for one that it has not. */
  readonly placeOf: (route: Pick<CapturedRoute, "worker" | "rank">) => number | undefined;
}

/** Reads what stands beside a captured trace; undefined where nothing does. Throws CORRUPT for what cannot be read. */
export function readCapturedCluster(trace: string, config: CliConfig): CapturedCluster | undefined {
  const file = aboutPath(trace);
  return existsSync(file) ? createCapturedCluster(readAbout(file), { file: path.basename(file), config }) : undefined;
}

/** The same, of what was read. */
export function createCapturedCluster(
  about: CaptureAbout,
  { file, config }: { readonly file: string; readonly config: Pick<CliConfig, "values" | "sources"> },
): CapturedCluster {
  const { ranks } = about;
  const isFree = (key: OptionKey) => config.sources[key] === "default";
  const taken = Object.entries(optionsOf(about)).filter(([name, value]) => {
    const key = name as OptionKey;
    return value !== undefined && isFree(key) && !(isNumberOfRules(key) && config.values[key] === value);
  });
  // The table of options has each of them, and the values are of their kinds.
  const values: Values = { ...config.values, ...(Object.fromEntries(taken) as Partial<Values>) };
  const profiles = ranks.map((rank) => (isFree("profile") ? profileOf(rank, values["block-tokens"]) : undefined));
  const usual = profiles.find((profile) => profile !== undefined);
  const own = new Map(
    ranks.map(({ total_blocks: blocks }, place): [number, OwnShape] => {
      const profile = profiles[place];
      return [place, { ...(profile && { profile }), ...(isFree("blocks") && blocks !== null && { blocks }) }];
    }),
  );
  const places = new Map(ranks.map(({ worker, rank }, place) => [`${worker}/${rank}`, place]));
  return {
    ...{ file, values },
    taken: [...taken.map(([key]) => key), ...(usual ? ["profile"] : [])],
    profile: usual && "as captured",
    warnings: warningsOf(ranks, isFree("profile")),
    complete: (setup) => ({ ...setup, own, ...(usual && { profile: usual }) }),
    placeOf({ worker, rank }) {
      const place = places.get(`${printId(worker)}/${rank}`);
      return place !== undefined && place < values.workers ? place : undefined;
    },
  };
}

/** There are many, and most are as always. */
function isNumberOfRules(key: string): boolean {
  return Object.values<string>(RULE_CONSTANTS).includes(key);
}

/** What the options of a replay would be. */
function optionsOf({
  ranks,
  block_size,
  rule,
  constants,
}: CaptureAbout): Readonly<Partial<Record<OptionKey, unknown>>> {
  const first = <Value>(of: (rank: AboutRank) => Value | null): Value | undefined =>
    ranks.map(of).find((value) => value !== null) ?? undefined;
  const known = RULE_NAMES.find((name) => name === rule);
  const numbers = Object.entries(RULE_CONSTANTS).map(([name, key]) => [key, constants[name]]);
  return {
    ...Object.fromEntries(numbers),
    rule: known && [known],
    workers: ranks.length > 0 ? ranks.length : undefined,
    blocks: first(({ total_blocks }) => total_blocks),
    "block-tokens": first((rank) => rank.block_size),
    "trace-block-tokens": block_size,
  };
}

/** What is taken from it, one sentence. */
export function printTaken({ file, taken }: CapturedCluster): string {
  return taken.length > 0 ? `From ${file}: ${taken.join(", ")}.` : `Nothing is taken from ${file}.`;
}

/** How a rank computes, in blocks of so many tokens. An engine that keeps less than all blocks of a prompt computes it in chunks. */
function profileOf(rank: AboutRank, blockTokens: number): Profile | undefined {
  const { times, reuse_tokens: chunkTokens = 0, max_running_requests: running } = rank;
  const prior = parseTimePrior(times ? create(TimePriorSchema, { ...NO_TIME, ...times }) : undefined);
  if (!prior) return undefined;
  const profile: Profile = { times: plain(prior), maxRunning: running ?? PROFILES.reference.maxRunning };
  const isChunk = chunkTokens >= TILE_TOKENS && chunkTokens > blockTokens && chunkTokens % blockTokens === 0;
  return isChunk && profile.maxRunning + chunkTokens <= prior.passTokens ? { ...profile, chunkTokens } : profile;
}

/** It crosses to threads, and no message does. */
function plain(times: TimePrior): TimePrior {
  const { $typeName: _, ...parts } = times as TimePrior & { readonly $typeName?: string };
  return parts;
}

function warningsOf(ranks: readonly AboutRank[], takesProfile: boolean): string[] {
  const weights = new Set(ranks.map((rank) => rank.weights)).size;
  const sizes = new Set(ranks.map(({ block_size }) => block_size)).size;
  const untimed = ranks.filter(({ times, timed_passes }) => !times || timed_passes === 0).length;
  return [
    ...(weights > 1 ? [`There were workers of ${weights} models: here each takes every request.`] : []),
    ...(sizes > 1 ? ["Blocks were of several sizes: here all are of the first worker's."] : []),
    ...(takesProfile && untimed > 0
      ? [`Workers that were not timed: ${untimed}. How fast they are is what they said, or a guess.`]
      : []),
  ];
}

function readAbout(file: string): CaptureAbout {
  const corrupt = (detail: string, cause?: unknown) => new StatorError("CORRUPT", { what: file, detail }, { cause });
  let about: Partial<CaptureAbout> | null;
  try {
    about = JSON.parse(readFileSync(file, "utf8")) as typeof about;
  } catch (error) {
    throw corrupt("it is not JSON", error);
  }
  const { ranks, block_size: blockTokens, constants } = about ?? {};
  if (!Array.isArray(ranks) || !Number.isSafeInteger(blockTokens) || typeof constants !== "object") {
    throw corrupt("it says no ranks, no block_size or no constants");
  }
  return about as CaptureAbout;
}
