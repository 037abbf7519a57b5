import { timesOf } from "#lib/engines/mock/timing";
import type { TimePrior } from "#lib/perf/time-model";
import { NO_TIME } from "#lib/perf/time-prior";
import type { TransferSpeed } from "./moving/transfer-net.ts";

/** How the workers of a replay are: what an engine takes for its passes, and how many sequences it runs. */
export interface Profile {
  /** Of one pass, and how many tokens it computes. */
  readonly times: TimePrior;
  /** Sequences that run side by side, at least 1. */
  readonly maxRunning: number;
  /**
   * Prompts are computed and kept in whole chunks of so many tokens, and what is left of them in a pass of its own, as an
   * exact engine does; absent: they are cut anywhere, and kept block by block.
   */
  readonly chunkTokens?: number;
  /** How KV moves between workers; as TRANSFER where absent. */
  readonly transfer?: TransferSpeed;
}

/** KV of a model of some 8 billion parameters, over a network of 100 Gbit/s of which somewhat is left for others. */
export const TRANSFER: TransferSpeed = { tokenBytes: 131_072, bytesPerSecond: 10e9 };

/** What is known of one worker alone. */
export interface OwnShape {
  /** How fast it is; as all of them where absent. */
  readonly profile?: Profile;
  /** KV blocks of its pool; as many as all have where absent. */
  readonly blocks?: number;
}

/** Tokens of a pass of every profile that is here by name. */
const PASS_TOKENS = 8_192;

/** Profiles by name. */
export const PROFILES = {
  /** The fit of a real GPU that the mock uses, and the reference's own replay with its defaults. */
  reference: {
    times: timesOf({ kind: "polynomial", speedup: 1, decodeSpeedup: 1 }, PASS_TOKENS),
    maxRunning: 256,
  },
  /** A GPU that computes 8,000 tokens of prompts in a second and takes 10 ms for a pass in which any sequence decodes. */
  "bench-8k": {
    times: { ...NO_TIME, prefillTokenMs: 0.125, decodeMs: 10, passTokens: PASS_TOKENS },
    maxRunning: 256,
  },
} as const satisfies Readonly<Record<string, Profile>>;

/** Name of a profile. */
export type ProfileName = keyof typeof PROFILES;

/** The same worker, so many times as fast. */
export function spedUp(profile: Profile, speed: number): Profile {
  return { ...profile, times: scaled(profile.times, 1 / speed) };
}

/** Passes that take so many times as long. */
export function scaled({ passTokens, ...parts }: TimePrior, factor: number): TimePrior {
  const longer = Object.entries(parts).map(([name, ms]) => [name, ms * factor]);
  return { ...(Object.fromEntries(longer) as Omit<TimePrior, "passTokens">), passTokens };
}
