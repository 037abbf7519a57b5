import { fromJson } from "@bufbuild/protobuf";
import { TimePriorSchema } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import { TILE_TOKENS } from "#lib/engines/schedule/options";
import type { TimePrior } from "#lib/perf/time-model";
import { NO_TIME, parseTimePrior } from "#lib/perf/time-prior";
import { PROFILES, type Profile } from "#lib/simulation/replay/profile";
import type { AboutRank } from "../capture/about.ts";

/** What a captured worker is simulated with. */
export interface CapturedProfileAbout {
  /** Tokens of its blocks in the replay. */
  readonly blockTokens: number;
  /** Prompts are cut anywhere, whatever it did. */
  readonly cutsAnywhere: boolean;
  /** Who says it, for errors. */
  readonly file: string;
}

/**
 * How fast a captured rank is, as it was learned by the end of the capture; undefined where nobody knew. One that keeps less
 * than all blocks of a prompt computes it in chunks, where those can be of these blocks. Throws CORRUPT.
 */
export function capturedProfile(rank: AboutRank, about: CapturedProfileAbout): Profile | undefined {
  const { blockTokens, cutsAnywhere } = about;
  const times = timesOf(rank, about);
  if (!times) return undefined;
  const { reuse_tokens: chunkTokens, max_running_requests: running } = rank;
  const maxRunning = Math.min(isCount(running) ? running : PROFILES.reference.maxRunning, times.passTokens);
  const profile: Profile = { times, maxRunning };
  // Captures of before do not say it.
  if (cutsAnywhere || !isCount(chunkTokens) || chunkTokens < TILE_TOKENS || chunkTokens <= blockTokens) return profile;
  const fits = chunkTokens % blockTokens === 0 && maxRunning + chunkTokens <= times.passTokens;
  return fits ? { ...profile, chunkTokens } : profile;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

/** Plain numbers: they cross to threads, and no message does. */
function timesOf({ worker, times }: AboutRank, { file }: CapturedProfileAbout): TimePrior | undefined {
  if (!times) return undefined;
  try {
    const prior = parseTimePrior(fromJson(TimePriorSchema, { ...NO_TIME, ...times }));
    return prior && { ...prior };
  } catch (cause) {
    throw new StatorError("CORRUPT", { what: file, detail: `the times of worker ${worker} are none` }, { cause });
  }
}
