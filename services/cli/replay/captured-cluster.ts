import path from "node:path";
import { printId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { isExpectation } from "#lib/base/option";
import { RULE_CONSTANTS } from "#lib/routing/options";
import { RULE_NAMES } from "#lib/routing/rules/table";
import type { CapturedRoute } from "#lib/simulation/replay/captured-route";
import type { OwnShape } from "#lib/simulation/replay/profile";
import { type AboutRank, aboutPath, type CaptureAbout } from "../capture/about.ts";
import { readAbout } from "../capture/read-about.ts";
import type { CliConfig } from "../command.ts";
import { OPTIONS, type OptionKey } from "../compose/options.ts";
import { capturedProfile } from "./captured-profile.ts";
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

/** Reads what stands beside a captured trace; undefined where nothing does. Throws CORRUPT for what cannot be. */
export function readCapturedCluster(trace: string, config: CliConfig): CapturedCluster | undefined {
  const about = readAbout(trace);
  return about && createCapturedCluster(about, { file: path.basename(aboutPath(trace)), config });
}

function createCapturedCluster(
  about: CaptureAbout,
  { file, config }: { readonly file: string; readonly config: CliConfig },
): CapturedCluster {
  const { ranks } = about;
  const isFree = (key: OptionKey) => config.sources[key] === "default";
  const taken = Object.entries(optionsOf(about)).flatMap(([name, said]) => {
    const key = name as OptionKey;
    if (said === undefined || said === null || !isFree(key)) return [];
    const value = readOption(key, said, file);
    return isNumberOfRules(key) && config.values[key] === value ? [] : [[key, value] as const];
  });
  // Each was read by the option of its name.
  const values: Values = { ...config.values, ...(Object.fromEntries(taken) as Partial<Values>) };
  const shape = { blockTokens: values["block-tokens"], cutsAnywhere: values["like-reference"], file };
  const profiles = ranks.map((rank) => (isFree("profile") ? capturedProfile(rank, shape) : undefined));
  const usual = profiles.find((profile) => profile !== undefined);
  const own = new Map(
    ranks.map(({ total_blocks: said }, place): [number, OwnShape] => {
      const profile = profiles[place];
      const blocks = isFree("blocks") && said !== null ? (readOption("blocks", said, file) as number) : undefined;
      return [place, { ...(profile && { profile }), ...(blocks !== undefined && { blocks }) }];
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

/** What is taken from it, one sentence. */
export function printTaken({ file, taken }: CapturedCluster): string {
  return taken.length > 0 ? `From ${file}: ${taken.join(", ")}.` : `Nothing is taken from ${file}.`;
}

/** What the options of a replay would be. */
function optionsOf({ ranks, block_size, rule, constants }: CaptureAbout): Partial<Record<OptionKey, unknown>> {
  const first = (of: (rank: AboutRank) => unknown) => ranks.map(of).find((value) => value !== null);
  const numbers = Object.entries(RULE_CONSTANTS).map(([name, key]) => [key, constants[name]]);
  return {
    ...Object.fromEntries(numbers),
    rule: RULE_NAMES.find((name) => name === rule),
    workers: ranks.length > 0 ? ranks.length : undefined,
    blocks: first(({ total_blocks }) => total_blocks),
    "block-tokens": first((rank) => rank.block_size),
    "trace-block-tokens": block_size,
  };
}

/** As if somebody had said it. Throws CORRUPT for what the option cannot be. */
function readOption(key: OptionKey, said: unknown, file: string): unknown {
  const value = OPTIONS[key].parse(String(said));
  if (!isExpectation(value)) return value;
  throw new StatorError("CORRUPT", { what: file, detail: `${key}: expected ${value.expected}, not ${String(said)}` });
}

/** There are many, and most are as always. */
function isNumberOfRules(key: string): boolean {
  return Object.values<string>(RULE_CONSTANTS).includes(key);
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
