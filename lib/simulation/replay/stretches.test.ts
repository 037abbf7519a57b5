import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import type { RuleName } from "#lib/routing/rules/table";
import { eachSeed } from "../../../test/support/seeds.ts";
import { PROFILES } from "./profile.ts";
import { type Outcome, type ReplayOptions, replay } from "./replay.ts";
import type { TraceRow } from "./trace-row.ts";

const BLOCK_TOKENS = 16;
const RULES: readonly RuleName[] = ["dynamo", "round-robin", "ttft", "smg-event"];

/** A seeded trace: prompts with prefixes in common and of several priorities, many at one moment, answers over several blocks. */
function traceOf(seed: number, rows: number): TraceRow[] {
  const chance = new SeededChance(BigInt(seed));
  let atMs = 0;
  return Array.from({ length: rows }, (_, index) => {
    if (pick(chance, 3) > 0) atMs += pick(chance, 120);
    const shared = pick(chance, 5);
    const own = 1 + pick(chance, 4);
    const family = 1000 * (1 + pick(chance, 3));
    const names = [
      ...Array.from({ length: shared }, (_, at) => BigInt(family + at)),
      ...Array.from({ length: own }, (_, at) => BigInt(1_000_000 + 10 * index + at)),
    ];
    const inputTokens = names.length * BLOCK_TOKENS - pick(chance, BLOCK_TOKENS);
    const rest = { session: undefined, delayMs: undefined, priority: pick(chance, 3), isDelta: false };
    return { index, atMs, inputTokens, outputTokens: 1 + pick(chance, 70), names: BigUint64Array.from(names), ...rest };
  });
}

function optionsOf(seed: number, likeReference: boolean): ReplayOptions {
  const chance = new SeededChance(BigInt(seed) + 1_000n);
  const times = { ...PROFILES.reference.times, passTokens: 32 + pick(chance, 200) };
  return {
    rows: traceOf(seed, 60),
    ...{ traceBlockTokens: BLOCK_TOKENS, blockTokens: BLOCK_TOKENS, likeReference },
    // Room for few: the largest takes 9 + 5 blocks.
    blocks: 14 + pick(chance, 40),
    workers: 1 + pick(chance, 3),
    profile: { times, maxRunning: 2 + pick(chance, 8) },
    routing: { rule: RULES[pick(chance, RULES.length)]! },
    speed: 1 + pick(chance, 6),
    seed: BigInt(seed),
  };
}

function live(options: ReplayOptions, stretchSteps: number): Outcome[] {
  return [...replay({ ...options, stretchSteps })];
}

test.each([false, true])(
  "a replay is the same step by step and in stretches; like the reference: %s",
  (likeReference) => {
    eachSeed(30, (seed) => {
      const options = optionsOf(seed, likeReference);
      const stepped = live(options, 1);
      expect(live(options, 128)).toEqual(stepped);
      expect(live(options, 7)).toEqual(stepped);
      expect(stepped.every(({ refusal }) => refusal === "")).toBe(true);
    });
  },
);
