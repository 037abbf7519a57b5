import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import type { RuleName } from "#lib/routing/rules/table";
import { PROFILES } from "#lib/simulation/replay/profile";
import { type Outcome, replay } from "#lib/simulation/replay/replay";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import { installReference, type ReferenceOutcome, replayByReference } from "../support/reference-replay.ts";
import { IS_LONG } from "../support/seeds.ts";

const WHY_NOT = "npm run test:long runs it";
const BLOCK_TOKENS = 512;
const WORKERS = 8;
const BLOCKS = 10_000;

/** Rows of the whole conversation trace, as text. */
function readTrace(): Buffer {
  return gunzipSync(readFileSync(new URL("../fixtures/traces/mooncake-conversation.jsonl.gz", import.meta.url)));
}

interface Row {
  readonly timestamp: number;
  readonly input_length: number;
  readonly output_length: number;
  readonly hash_ids: readonly number[];
}

function rowsOf(trace: Buffer): TraceRow[] {
  const lines = trace.toString("utf8").trimEnd().split("\n");
  return lines.map((line, index) => {
    const { timestamp, input_length, output_length, hash_ids } = JSON.parse(line) as Row;
    return {
      ...{ index, atMs: timestamp, inputTokens: input_length, outputTokens: output_length },
      names: BigUint64Array.from(hash_ids, BigInt),
      ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
    };
  });
}

interface Setting {
  readonly rule: RuleName;
  readonly speed: number;
  readonly blocks?: number;
  readonly blockTokens?: number;
}

function live(trace: Buffer, { rule, speed, blocks = BLOCKS, blockTokens = BLOCK_TOKENS }: Setting): Outcome[] {
  return [
    ...replay({
      ...{ rows: rowsOf(trace), traceBlockTokens: BLOCK_TOKENS, blockTokens, blocks, workers: WORKERS },
      // Its router expects nothing of a prompt that it sent.
      ...{ profile: PROFILES.reference, routing: { rule, predictedTtlMs: 0 }, speed, seed: 1n, likeReference: true },
    }),
  ];
}

/** Figures of a replay as the reference's report counts them: the gap between tokens is a mean over all gaps. */
function figuresOf(outcomes: readonly Outcome[]) {
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const ttfts = outcomes.map(({ firstMs, arrivedMs }) => firstMs! - arrivedMs).sort((left, right) => left - right);
  return {
    requests: outcomes.filter(({ refusal }) => refusal === "").length,
    hitRatio: sum(({ cachedTokens }) => cachedTokens) / sum(({ promptTokens }) => promptTokens),
    ttftMs: ttfts.reduce((total, ms) => total + ms, 0) / ttfts.length,
    medianTtftMs: ttfts[Math.floor(0.5 * (ttfts.length - 1))]!,
    ttft99Ms: ttfts[Math.floor(0.99 * (ttfts.length - 1))]!,
    itlMs: sum(({ endedMs, firstMs }) => endedMs - firstMs!) / sum(({ tokens }) => tokens - 1),
  };
}

// What the reference's own replay says (1.4.2, its defaults): with its KV router, whose ties differ from run to run, in the
// middle of six runs.
const FIGURES = [
  { rule: "round-robin", speed: 1, hit: 0.1297, ttft: 306.416, median: 175.638, p99: 2_036.42, itl: 6.3632 },
  { rule: "round-robin", speed: 6, hit: 0.1302, ttft: 589.832, median: 325.586, p99: 3_263.29, itl: 19.5756 },
  { rule: "dynamo", speed: 1, hit: 0.2957, ttft: 245.8, median: 174.97, p99: 1_599, itl: 6.24 },
  { rule: "dynamo", speed: 6, hit: 0.2354, ttft: 399, median: 308.8, p99: 1_853, itl: 14.74 },
] as const;

/** How far off a figure may be: with round-robin nothing is left to chance, with the other rule medians and tails move most. */
const SPREAD = {
  "round-robin": { hit: 0.0001, mean: 0.002, quantile: 0.002 },
  dynamo: { hit: 0.01, mean: 0.03, quantile: 0.06 },
} as const;

test.for(FIGURES)(
  "the conversation trace at $speed times its speed by $rule is as in the reference's replay",
  (of, context) => {
    if (!IS_LONG) return context.skip(WHY_NOT);
    const found = figuresOf(live(readTrace(), of));
    const spread = SPREAD[of.rule];
    expect(found.requests).toBe(12_031);
    expect(Math.abs(found.hitRatio - of.hit)).toBeLessThan(spread.hit);
    expect(Math.abs(found.ttftMs / of.ttft - 1), "mean time to the first token").toBeLessThan(spread.mean);
    expect(Math.abs(found.medianTtftMs / of.median - 1), "its median").toBeLessThan(spread.quantile);
    expect(Math.abs(found.ttft99Ms / of.p99 - 1), "of one in a hundred").toBeLessThan(spread.quantile);
    expect(Math.abs(found.itlMs / of.itl - 1), "time between tokens").toBeLessThan(spread.mean);
  },
);

/** Requests that came at one moment are told apart by what they ask and where they went. */
function keyOf(atMs: number, sizes: readonly number[]): string {
  return [atMs.toFixed(3), ...sizes].join(" ");
}

interface Pair {
  readonly ours: Outcome;
  readonly reference: ReferenceOutcome;
}

function pair(outcomes: readonly Outcome[], reference: readonly ReferenceOutcome[]): Pair[] {
  const byKey = new Map<string, ReferenceOutcome[]>();
  for (const each of reference) {
    const sizes = [each.input_length, each.output_length, each.decode_worker_idx];
    const key = keyOf(each.arrival_time_ms, sizes);
    byKey.set(key, [...(byKey.get(key) ?? []), each]);
  }
  return outcomes.flatMap((outcome) => {
    const sizes = [outcome.promptTokens, outcome.tokens, outcome.worker];
    const found = byKey.get(keyOf(outcome.arrivedMs, sizes))?.shift();
    return found ? [{ ours: outcome, reference: found }] : [];
  });
}

/** It counts in whole nanoseconds, and they add up over hundreds of passes. */
const ROUNDING_MS = 0.1;

function isSame({ ours: { firstMs, arrivedMs, endedMs }, reference }: Pair): boolean {
  const isFirst = Math.abs(firstMs! - arrivedMs - reference.ttft_ms) < ROUNDING_MS;
  return isFirst && Math.abs(endedMs - reference.last_token_ms) < ROUNDING_MS;
}

// With few blocks who runs is preempted again and again.
test.for([
  { speed: 1, rows: 12_031, blocks: BLOCKS, blockTokens: 512 },
  { speed: 6, rows: 12_031, blocks: BLOCKS, blockTokens: 512 },
  { speed: 6, rows: 3_000, blocks: 300, blockTokens: 512 },
  { speed: 6, rows: 3_000, blocks: 400, blockTokens: 512 },
  { speed: 6, rows: 3_000, blocks: 6_000, blockTokens: 64 },
])(
  "each request begins and ends when it does in the reference: $rows at $speed times their speed, $blocks blocks of $blockTokens",
  { timeout: 900_000 },
  ({ speed, rows, blocks, blockTokens }, context) => {
    if (!IS_LONG) return context.skip(WHY_NOT);
    let library: string;
    try {
      library = installReference();
    } catch (error) {
      const reason = `the reference cannot be installed: ${error instanceof Error ? error.message : error}`;
      expect(process.env.CI, reason).not.toBe("true");
      return context.skip(reason);
    }
    const lines = readTrace().toString("utf8").split("\n").slice(0, rows);
    const trace = Buffer.from(lines.join("\n"));
    const engine = { block_size: blockTokens, num_gpu_blocks: blocks };
    const reference = replayByReference(library, { trace, router: "round_robin", speed, workers: WORKERS, engine });
    const pairs = pair(live(trace, { rule: "round-robin", speed, blocks, blockTokens }), reference);
    expect(pairs).toHaveLength(rows);
    expect(pairs.filter((each) => !isSame(each))).toEqual([]);
    // Of one that was preempted it tells what was found the last time, we what was found first.
    if (blocks < BLOCKS) return;
    for (const { ours, reference } of pairs) expect(ours.cachedTokens).toBe(reference.reused_input_tokens);
  },
);
