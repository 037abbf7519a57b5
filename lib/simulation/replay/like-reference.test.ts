import { expect, test } from "vitest";
import { passMsOf } from "#lib/perf/time-prior";
import { PROFILES } from "./profile.ts";
import { type ReplayOptions, replay } from "./replay.ts";
import type { TraceRow } from "./trace-row.ts";

const BLOCK_TOKENS = 16;
const PROFILE = PROFILES.reference;
const POOL = { poolTokens: 100 * BLOCK_TOKENS, prefillContextTokens: 0 };
const ONE_DECODES = { ...POOL, prefillTokens: 0, decodeSequences: 1 };

function row(index: number, atMs: number, about: { names: readonly bigint[]; outputTokens?: number }): TraceRow {
  const { names, outputTokens = 1 } = about;
  return {
    ...{ index, atMs, inputTokens: names.length * BLOCK_TOKENS, outputTokens, names: BigUint64Array.from(names) },
    ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
  };
}

/** Outcomes by row. */
function live(rows: readonly TraceRow[], more: Partial<ReplayOptions> = {}) {
  const outcomes = replay({
    ...{ rows, traceBlockTokens: BLOCK_TOKENS, blockTokens: BLOCK_TOKENS, blocks: 100, workers: 1, profile: PROFILE },
    ...{ routing: { rule: "dynamo", predictedTtlMs: 0 }, speed: 1, seed: 1n, likeReference: true },
    ...more,
  });
  return [...outcomes].sort((left, right) => left.row - right.row);
}

const names = (count: number, from = 0) => Array.from({ length: count }, (_, at) => BigInt(from + at));

test("the first token is there at the end of the pass that ends the prompt and decodes", () => {
  const [only] = live([row(0, 3, { names: names(4) })]);
  const passMs = passMsOf(PROFILE.times, { ...ONE_DECODES, prefillTokens: 64, decodeContextTokens: 64 });
  expect(only!.firstMs).toBeCloseTo(3 + passMs, 9);
  expect(only!.endedMs).toBe(only!.firstMs);
});

test("who comes at the moment at which a pass ends shares the next one", () => {
  const first = row(0, 0, { names: names(4), outputTokens: 3 });
  const endMs = live([first])[0]!.firstMs!;
  const rows = [first, row(1, endMs, { names: names(4, 50) })];
  const waitsMs = (startsNextTurn: boolean) => live(rows, { startsNextTurn })[1]!.firstMs! - endMs;
  const decodeMs = passMsOf(PROFILE.times, { ...ONE_DECODES, decodeContextTokens: 5 * BLOCK_TOKENS });
  expect(waitsMs(false), "else a step that has begun goes first").toBeGreaterThan(decodeMs + 16);
  expect(waitsMs(true)).toBeLessThan(waitsMs(false) - decodeMs / 2);
  expect(live(rows)[1]!.firstMs! - endMs).toBe(waitsMs(true));
});

test("the router hears of blocks when the pass that computes them begins", () => {
  const rows = [row(0, 0, { names: names(8) }), row(1, 5, { names: names(8) })];
  // What is cached draws more than what waits there pushes away.
  const routing = { rule: "dynamo", predictedTtlMs: 0, constants: { overlapCredit: 2 } } as const;
  const places = (likeReference: boolean) =>
    live(rows, { workers: 2, routing, likeReference }).map((each) => each.worker);
  const [first, second] = places(true);
  expect(second).toBe(first);
  const [one, other] = places(false);
  expect(other, "else it hears of them when they are computed").not.toBe(one);
});
