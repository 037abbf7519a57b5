import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../../../test/support/seeds.ts";
import type { WorkerRole } from "../member.ts";
import { PROFILES } from "../profile.ts";
import { type FleetChange, type Outcome, type ReplayOptions, replay } from "../replay.ts";
import { GapBook } from "../report/gap-book.ts";
import type { TraceRow } from "../trace-row.ts";

const BLOCK_TOKENS = 16;
/** 16,000 tokens a second. */
const TRANSFER = { tokenBytes: 1_000, bytesPerSecond: 16_000_000 };
const PROFILE = { ...PROFILES["bench-8k"], transfer: TRANSFER };

/** Conversations that go on, and others. */
function traceOf(count: number, seed: number): TraceRow[] {
  const chance = new SeededChance(BigInt(seed));
  const prompts: bigint[][] = [[]];
  let atMs = 0;
  return Array.from({ length: count }, (_, index) => {
    const before = prompts[pick(chance, prompts.length)]!;
    const own = Array.from({ length: 1 + pick(chance, 20) }, () => BigInt(pick(chance, 2 ** 30)));
    const names = [...before.slice(0, 60), ...own];
    prompts.push(names);
    atMs += pick(chance, 40);
    const inputTokens = names.length * BLOCK_TOKENS - pick(chance, BLOCK_TOKENS);
    return rowOf({ index, atMs, inputTokens, outputTokens: 1 + pick(chance, 60), names: BigUint64Array.from(names) });
  });
}

function rowOf(
  about: Pick<TraceRow, "index" | "atMs" | "inputTokens" | "outputTokens" | "names"> & Partial<TraceRow>,
): TraceRow {
  return { session: undefined, delayMs: undefined, priority: 0, isDelta: false, ...about };
}

function live(rows: readonly TraceRow[], roles: readonly WorkerRole[], more: Partial<ReplayOptions> = {}): Outcome[] {
  const outcomes = replay({
    ...{ rows, roles, workers: roles.length, traceBlockTokens: BLOCK_TOKENS, blockTokens: BLOCK_TOKENS },
    ...{ blocks: 4_096, profile: PROFILE, routing: { rule: "ttft", split: { bypass: "none" } }, speed: 1, seed: 1n },
    ...more,
  });
  return [...outcomes].sort((left, right) => left.row - right.row);
}

function expectAnswered(rows: readonly TraceRow[], outcomes: readonly Outcome[]): void {
  const said = outcomes.map(({ row, tokens, refusal }) => ({ row, tokens, refusal }));
  expect(said).toEqual(rows.map(({ index, outputTokens }) => ({ row: index, tokens: outputTokens, refusal: "" })));
}

const LONG = rowOf({
  ...{ index: 0, atMs: 0, inputTokens: 1_610, outputTokens: 5 },
  names: BigUint64Array.from({ length: 101 }, (_, at) => BigInt(at + 1)),
});

test("an answer goes on where its blocks have come, as late as they take, and its first token came before", () => {
  const gaps = new GapBook();
  const [outcome] = live([LONG], ["prefill", "decode"], { gaps });
  const prefillMs = 1_610 * 0.125;
  // 100 whole blocks; the ten tokens behind them, and the first one of the answer, are computed there.
  expect(outcome).toMatchObject({ prefilledBy: 0, worker: 1, movedTokens: 1_600, cachedTokens: 0, tokens: 5 });
  expect(outcome!.firstMs).toBeCloseTo(prefillMs, 6);
  expect(outcome!.handOffMs).toBeCloseTo(100, 6);
  const restMs = 11 * 0.125;
  expect(outcome!.secondMs! - outcome!.firstMs!).toBeCloseTo(100 + restMs, 6);
  expect(outcome!.endedMs - outcome!.secondMs!).toBeCloseTo(3 * 10, 6);
  expect(gaps.distribution.mean).toBeCloseTo((100 + restMs + 30) / 4, 6);
});

test("only what is lacking is moved", () => {
  const later = { ...LONG, index: 1, atMs: 5_000 };
  const [, second] = live([LONG, later], ["prefill", "decode"]);
  expect(second).toMatchObject({ movedTokens: 0, handOffMs: 0, cachedTokens: 1_600 });
});

test("where both begin at once, blocks come while others are computed", () => {
  const profile = { ...PROFILE, times: { ...PROFILE.times, passTokens: 400 } };
  const split = { bypass: "none", bootstrap: true } as const;
  const [outcome] = live([LONG], ["prefill", "decode"], { profile, routing: { rule: "ttft", split } });
  // Passes of 400 tokens take 50 ms and so much of the network's 25: of the last one 10 tokens are left, and none of a block.
  expect(outcome!.movedTokens).toBe(1_600);
  expect(outcome!.handOffMs).toBeCloseTo(25 - 10 * 0.125, 6);
  expectAnswered([LONG], [outcome!]);
});

test("an answer that ends with its first token goes nowhere", () => {
  const split = { bypass: "none", bootstrap: true } as const;
  for (const routing of [{ rule: "ttft" }, { rule: "ttft", split }] as const) {
    const [outcome] = live([{ ...LONG, outputTokens: 1 }], ["prefill", "decode"], { routing });
    expect(outcome).toMatchObject({ tokens: 1, handOffMs: undefined, refusal: "" });
  }
});

test("a request whose blocks are lost goes on with those that came, and computes the rest", () => {
  const prefillMs = 1_610 * 0.125;
  const changes: FleetChange[] = [{ atMs: prefillMs + 50, worker: 0, what: "fail" }];
  const [outcome] = live([LONG], ["prefill", "decode"], { changes });
  expect(outcome).toMatchObject({ tokens: 5, movedTokens: 800, worker: 1, refusal: "" });
  expect(outcome!.handOffMs).toBeCloseTo(50, 6);
  expect(outcome!.secondMs! - outcome!.firstMs!).toBeCloseTo(50 + 811 * 0.125, 6);
});

test("a request whose blocks are still kept goes on elsewhere from them, and one that went on begins anew", () => {
  const prefillMs = 1_610 * 0.125;
  const [undisturbed] = live([LONG], ["prefill", "decode", "decode"]);
  const first = undisturbed!.worker;
  const kill = (atMs: number): FleetChange[] => [{ atMs, worker: first, what: "fail" }];
  const [moved] = live([LONG], ["prefill", "decode", "decode"], { changes: kill(prefillMs + 50) });
  expect(moved).toMatchObject({ tokens: 5, worker: 3 - first, prefilledBy: 0, refusal: "" });
  expect(moved!.endedMs - undisturbed!.endedMs).toBeCloseTo(50, 3);
  const [again] = live([LONG], ["prefill", "decode", "decode"], { changes: kill(undisturbed!.secondMs! + 5) });
  expect(again).toMatchObject({ tokens: 5, worker: 3 - first, prefilledBy: 0, cachedTokens: 1_600, refusal: "" });
});

test("workers for answers alone do all of them, and those for prompts alone name the role that is missing", () => {
  const rows = traceOf(40, 1);
  const whole = live(rows, ["decode", "decode"]);
  expectAnswered(rows, whole);
  expect(whole.every(({ handOffMs, prefilledBy, worker }) => handOffMs === undefined && prefilledBy === worker)).toBe(
    true,
  );
  const refused = live(rows, ["prefill"]);
  expect(refused.every(({ refusal }) => refusal.includes("role decode"))).toBe(true);
});

test("a bypass computes some prompts where their answers are made", () => {
  const rows = traceOf(300, 2).map((row): TraceRow => ({ ...row, atMs: row.atMs! / 4 }));
  const routing = { rule: "ttft", split: { bypass: "priced" } } as const;
  const outcomes = live(rows, ["prefill", "decode"], { routing });
  expectAnswered(rows, outcomes);
  const apart = outcomes.filter(({ prefilledBy, worker }) => prefilledBy !== worker).length;
  expect(apart).toBeGreaterThan(30);
  expect(apart).toBeLessThan(270);
});

/** Clusters and ways to split of all kinds. */
function optionsOf(seed: number): readonly [readonly TraceRow[], readonly WorkerRole[], Partial<ReplayOptions>] {
  const chance = new SeededChance(BigInt(seed) + 7_000n);
  const some = (role: WorkerRole, most: number): WorkerRole[] =>
    Array.from({ length: 1 + pick(chance, most) }, () => role);
  const roles = [...some("prefill", 3), ...some("decode", 2), ...(pick(chance, 2) ? some("aggregated", 1) : [])];
  const split = { bypass: (["none", "priced"] as const)[pick(chance, 2)]!, bootstrap: pick(chance, 2) === 1 };
  const times = { ...PROFILE.times, passTokens: 64 + pick(chance, 400) };
  const profile = { ...PROFILE, times, maxRunning: 2 + pick(chance, 30) };
  const rows = traceOf(60, seed);
  return [
    rows,
    roles,
    { profile, blocks: 90 + pick(chance, 100), routing: { rule: "ttft", split }, seed: BigInt(seed) },
  ];
}

test("a replay of legs is the same step by step and in stretches", () => {
  eachSeed(6, (seed) => {
    const [rows, roles, options] = optionsOf(seed);
    const stepped = live(rows, roles, { ...options, stretchSteps: 1 });
    expect(live(rows, roles, { ...options, stretchSteps: 128 })).toEqual(stepped);
    expectAnswered(rows, stepped);
  });
});

test("workers of all roles that die and come back lose and double nothing", () => {
  eachSeed(8, (seed) => {
    const [rows, roles, options] = optionsOf(seed);
    const chance = new SeededChance(BigInt(seed));
    const lastMs = rows.at(-1)!.atMs!;
    const changes = Array.from({ length: 14 }, (): FleetChange => {
      const what = chance.next() < 0.5 ? "fail" : "join";
      return { atMs: chance.next() * lastMs * 1.3, worker: pick(chance, roles.length), what };
    });
    for (const worker of roles.keys()) changes.push({ atMs: lastMs * 1.4, worker, what: "join" });
    expectAnswered(rows, live(rows, roles, { ...options, changes }));
  });
});
