import { afterEach, expect, test, vi } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { NO_TIME } from "#lib/perf/time-prior";
import { RULE_NAMES } from "#lib/routing/rules/table";
import { PROFILES, scaled } from "./profile.ts";
import { type FleetChange, type Outcome, type ReplayOptions, replay } from "./replay.ts";
import type { TraceRow } from "./trace-row.ts";

const BLOCK_TOKENS = 16;

/** Conversations that go on: each row is some blocks of an earlier one, and new ones. */
function traceOf(count: number, seed = 1n): TraceRow[] {
  const chance = new SeededChance(seed);
  const prompts: bigint[][] = [[]];
  let atMs = 0;
  return Array.from({ length: count }, (_, index) => {
    const before = prompts[pick(chance, prompts.length)]!;
    const own = Array.from({ length: 1 + pick(chance, 20) }, () => BigInt(pick(chance, 2 ** 30)));
    const names = [...before.slice(0, 60), ...own];
    prompts.push(names);
    atMs += pick(chance, 40);
    return {
      ...{ index, atMs, inputTokens: names.length * BLOCK_TOKENS - pick(chance, BLOCK_TOKENS) },
      ...{ outputTokens: 1 + pick(chance, 60), names: BigUint64Array.from(names) },
      ...{ session: undefined, delayMs: undefined, priority: 0, isDelta: false },
    };
  });
}

function optionsOf(rows: Iterable<TraceRow>, more: Partial<ReplayOptions> = {}): ReplayOptions {
  return {
    rows,
    ...{ traceBlockTokens: BLOCK_TOKENS, blockTokens: BLOCK_TOKENS, blocks: 4096, workers: 3 },
    ...{ profile: PROFILES["bench-8k"], routing: { rule: "ttft" }, speed: 1, seed: 1n },
    ...more,
  };
}

function live(rows: Iterable<TraceRow>, more: Partial<ReplayOptions> = {}): Outcome[] {
  return [...replay(optionsOf(rows, more))];
}

function inOrder(outcomes: readonly Outcome[]): Outcome[] {
  return [...outcomes].sort((left, right) => left.row - right.row);
}

/** Every row has one outcome: its whole answer. */
function expectAnswered(rows: readonly TraceRow[], outcomes: readonly Outcome[]): void {
  const said = inOrder(outcomes).map(({ row, tokens, refusal }) => ({ row, tokens, refusal }));
  expect(said).toEqual(rows.map(({ index, outputTokens }) => ({ row: index, tokens: outputTokens, refusal: "" })));
}

afterEach(() => {
  vi.restoreAllMocks();
});

const RealDate = Date;

test("no replay reads a clock, waits or draws", () => {
  const never = (name: string) => (): never => {
    throw new Error(`${name} was called`);
  };
  const DateOfNow = new Proxy(Date, {
    construct(target, parts: []) {
      if (parts.length === 0) throw new Error("new Date() was called");
      return new target(...parts);
    },
    apply: never("Date()"),
  });
  const rows = traceOf(300);
  const changes: FleetChange[] = [
    { atMs: 2000, worker: 1, what: "fail" },
    { atMs: 4000, worker: 1, what: "join" },
  ];
  const timers = ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"] as const;
  vi.stubGlobal("Date", DateOfNow);
  for (const name of timers) vi.stubGlobal(name, never(name));
  vi.spyOn(RealDate, "now").mockImplementation(never("Date.now"));
  vi.spyOn(performance, "now").mockImplementation(never("performance.now"));
  vi.spyOn(process, "nextTick").mockImplementation(never("process.nextTick"));
  vi.spyOn(process, "hrtime").mockImplementation(never("process.hrtime") as never);
  vi.spyOn(process.hrtime, "bigint").mockImplementation(never("process.hrtime.bigint"));
  vi.spyOn(Math, "random").mockImplementation(never("Math.random"));
  vi.spyOn(crypto, "getRandomValues").mockImplementation(never("crypto.getRandomValues"));
  vi.spyOn(crypto, "randomUUID").mockImplementation(never("crypto.randomUUID"));
  try {
    expect(() => new Date()).toThrow();
    expect(() => Date.now()).toThrow();
    for (const rule of RULE_NAMES) {
      if (rule === "direct") continue;
      const outcomes = live(rows, { routing: { rule }, changes });
      expect(outcomes.filter(({ refusal }) => refusal === "")).toHaveLength(300);
    }
  } finally {
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  }
});

test("the same seed has the same outcomes, another seed others", () => {
  const rows = traceOf(200);
  const options = { routing: { rule: "power-of-two" } } as const;
  expect(live(rows, options)).toEqual(live(rows, options));
  expect(live(rows, { ...options, seed: 2n })).not.toEqual(live(rows, options));
});

test.each([{ kind: "open" }, { kind: "closed", concurrency: 7 }, { kind: "sessions" }] as const)(
  "under a load that is $kind every request is answered",
  (load) => {
    const chance = new SeededChance(5n);
    const rows = traceOf(200).map((row): TraceRow => ({ ...row, session: `s${pick(chance, 30)}` }));
    const outcomes = live(rows, { load });
    expectAnswered(rows, outcomes);
    const times = outcomes.flatMap(({ arrivedMs, endedMs }) => [
      { atMs: arrivedMs, by: 1 },
      { atMs: endedMs, by: -1 },
    ]);
    times.sort((left, right) => left.atMs - right.atMs || left.by - right.by);
    let inFlight = 0;
    const most = Math.max(...times.map(({ by }) => (inFlight += by)));
    if (load.kind === "closed") expect(most).toBe(7);
  },
);

test("a later turn in delta form finds the answer before it in the cache of its worker", () => {
  const turn = (index: number, delayMs?: number): TraceRow => ({
    ...{ index, atMs: index === 0 ? 0 : undefined, inputTokens: 40, outputTokens: 24 },
    names: BigUint64Array.of(BigInt(10 * index), BigInt(10 * index + 1), BigInt(10 * index + 2)),
    ...{ session: "a", delayMs, priority: 0, isDelta: true },
  });
  const outcomes = live([turn(0), turn(1, 100), turn(2, 0)], { load: { kind: "sessions" }, blockTokens: 8 });
  expect(outcomes.map(({ promptTokens }) => promptTokens)).toEqual([40, 104, 168]);
  // 64 tokens are 8 blocks; what was generated last was never computed, so the block that it ends is not there.
  expect(outcomes.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 56, 120]);
  expect(outcomes[1]!.arrivedMs).toBe(outcomes[0]!.endedMs + 100);
  expect(outcomes[2]!.arrivedMs).toBe(outcomes[1]!.endedMs);
});

test("who has the higher priority runs first", () => {
  const rows = traceOf(40).map((row): TraceRow => ({ ...row, atMs: 0, priority: row.index % 2 }));
  const profile = { ...PROFILES["bench-8k"], maxRunning: 1 };
  const outcomes = live(rows, { workers: 1, profile });
  const ranks = outcomes.map(({ row }) => row % 2);
  expect(ranks.slice(1, 20).every((rank) => rank === 1)).toBe(true);
  expectAnswered(rows, outcomes);
});

test("a prompt that no worker can hold is refused, and its sentence says so; others go on", () => {
  const rows = traceOf(20).map((row): TraceRow => (row.index === 7 ? { ...row, outputTokens: 5000 } : row));
  const names = BigUint64Array.from({ length: 300 }, (_, at) => BigInt(at) + (1n << 40n));
  rows[9] = { ...rows[9]!, names, inputTokens: 300 * BLOCK_TOKENS };
  const outcomes = inOrder(live(rows, { blocks: 200 }));
  const refused = outcomes.filter(({ refusal }) => refusal !== "");
  expect(refused.map(({ row }) => row)).toContain(9);
  expect(outcomes[9]!.refusal).toContain("4800 tokens; stator-mock's maximum context length is 3200");
  expect(outcomes[9]).toMatchObject({ tokens: 0, firstMs: undefined, endedMs: outcomes[9]!.arrivedMs });
  expect(outcomes.filter(({ row }) => row !== 7 && row !== 9).every(({ refusal }) => refusal === "")).toBe(true);
});

function lastMs(rows: readonly TraceRow[]): number {
  return rows.at(-1)!.atMs!;
}

test("a fleet that loses two of eight at half time and gets them back cold answers everybody", () => {
  const rows = traceOf(1500);
  const half = lastMs(rows) / 2;
  const changes: FleetChange[] = [0, 5].flatMap((worker) => [
    { atMs: half, worker, what: "fail" },
    { atMs: half * 1.5, worker, what: "join" },
  ]);
  // In turn: a rule that goes by caches may leave a cold worker alone.
  const outcomes = live(rows, { workers: 8, changes, routing: { rule: "round-robin" } });
  expectAnswered(rows, outcomes);
  const whiles = outcomes.filter(({ arrivedMs, endedMs }) => arrivedMs > half && endedMs < half * 1.5);
  expect(whiles.length).toBeGreaterThan(100);
  expect(whiles.some(({ worker }) => worker === 0 || worker === 5)).toBe(false);
  const later = outcomes.filter(({ arrivedMs }) => arrivedMs >= half * 1.5);
  for (const worker of [0, 5]) {
    const [first] = inOrder(later.filter((outcome) => outcome.worker === worker));
    // It is back, and its cache is empty.
    expect(first!.cachedTokens).toBe(0);
  }
});

test("requests wait while nobody is there, and go on when somebody comes", () => {
  const rows = traceOf(300);
  const half = lastMs(rows) / 2;
  const all = [0, 1, 2].map((worker): FleetChange => ({ atMs: half, worker, what: "fail" }));
  const outcomes = live(rows, { changes: [...all, { atMs: half + 500, worker: 1, what: "join" }] });
  expectAnswered(rows, outcomes);
  const lost = outcomes.filter(({ arrivedMs, endedMs }) => endedMs > half && arrivedMs < half + 500);
  expect(lost.length).toBeGreaterThan(3);
  expect(lost.every(({ endedMs, worker }) => endedMs > half + 500 && worker === 1)).toBe(true);
});

test("requests that nobody comes for are refused at the end, under every load", () => {
  const rows = traceOf(30);
  const changes = [0, 1, 2].map((worker): FleetChange => ({ atMs: lastMs(rows) / 2, worker, what: "fail" }));
  for (const load of [{ kind: "open" }, { kind: "closed", concurrency: 2 }] as const) {
    const outcomes = live(rows, { changes, load, speed: load.kind === "closed" ? 1 : 2 });
    expect(inOrder(outcomes).map(({ row }) => row)).toEqual(rows.map(({ index }) => index));
    for (const { refusal } of outcomes.filter(({ tokens, row }) => tokens < rows[row]!.outputTokens)) {
      expect(refusal).toContain("No worker can take a request");
    }
  }
});

test("a request of a failed worker goes on with its tokens, somewhere else", () => {
  const [row] = traceOf(1).map((one): TraceRow => ({ ...one, outputTokens: 100 }));
  const alone = live([row!], { workers: 2, stretchSteps: 1 })[0]!;
  const half = (alone.firstMs! + alone.endedMs) / 2;
  const changes: FleetChange[] = [{ atMs: half, worker: alone.worker, what: "fail" }];
  const [moved] = live([row!], { workers: 2, changes });
  expect(moved).toMatchObject({ tokens: 100, firstMs: alone.firstMs, worker: 1 - alone.worker, refusal: "" });
  // It computes its prompt and what it had again, and not the answer from the beginning.
  expect(moved!.endedMs).toBeGreaterThan(alone.endedMs);
  expect(moved!.endedMs).toBeLessThan(alone.endedMs + 200);
});

test("to fail what is not there, and to join what is, changes nothing", () => {
  const rows = traceOf(100);
  const changes: FleetChange[] = [
    { atMs: 100, worker: 9, what: "fail" },
    { atMs: 200, worker: 1, what: "join" },
  ];
  expect(live(rows, { changes })).toEqual(live(rows));
});

test("a worker that was not there at first may come", () => {
  const rows = traceOf(200);
  const outcomes = live(rows, { workers: 1, changes: [{ atMs: 500, worker: 4, what: "join" }] });
  expectAnswered(rows, outcomes);
  expect(new Set(outcomes.map(({ worker }) => worker))).toEqual(new Set([0, 4]));
});

test("random changes of the fleet lose and double nothing", () => {
  for (let seed = 0n; seed < 40n; seed++) {
    const chance = new SeededChance(seed);
    const rows = traceOf(80, seed);
    const changes = Array.from({ length: 12 }, (): FleetChange => {
      const what = chance.next() < 0.5 ? "fail" : "join";
      return { atMs: chance.next() * lastMs(rows) * 1.2, worker: pick(chance, 3), what };
    });
    changes.push({ atMs: lastMs(rows) * 1.3, worker: 0, what: "join" });
    const load = (["open", "sessions"] as const)[pick(chance, 2)]!;
    expectAnswered(rows, live(rows, { changes, load: { kind: load }, sessions: "second-block", blocks: 400 }));
  }
});

test("what is said of a worker alone goes before what is said of all", () => {
  const { times, maxRunning } = PROFILES["bench-8k"];
  const fast = { times: scaled(times, 1 / 4), maxRunning };
  const rows = traceOf(400).map((row): TraceRow => ({ ...row, atMs: row.atMs! / 20 }));
  const own = new Map([[1, { profile: fast }]]);
  expect(live(rows, { workers: 2, own })).toEqual(live(rows, { workers: 2, speeds: new Map([[1, 4]]) }));
  const small = live(rows, { workers: 2, own: new Map([[0, { blocks: 1 }]]) });
  expect(small.filter(({ refusal }) => refusal !== "").every(({ worker }) => worker === 0)).toBe(true);
  expect(small.filter(({ refusal }) => refusal !== "").length).toBeGreaterThan(0);
});

test("an exact engine computes and keeps whole chunks of prompts, and what is left of them in a pass of its own", () => {
  const times = { ...NO_TIME, passMs: 10, prefillTokenMs: 1, passTokens: 512 };
  const lone = traceOf(1).map((row): TraceRow => {
    const names = BigUint64Array.from({ length: 7 }, (_, at) => BigInt(at));
    return { ...row, inputTokens: 100, outputTokens: 1, names };
  });
  const ttftOf = (chunkTokens?: number) => {
    const [outcome] = live(lone, { profile: { times, maxRunning: 8, ...(chunkTokens && { chunkTokens }) } });
    return outcome!.firstMs! - outcome!.arrivedMs;
  };
  expect([ttftOf(), ttftOf(64)]).toEqual([110, 120]);
  const rows = traceOf(200);
  const chunked = live(rows, { profile: { times, maxRunning: 8, chunkTokens: 64 } });
  expectAnswered(rows, chunked);
  expect(chunked.every(({ cachedTokens }) => cachedTokens % 64 === 0)).toBe(true);
  expect(chunked.some(({ cachedTokens }) => cachedTokens > 0)).toBe(true);
});

test("a worker that is faster takes more", () => {
  const rows = traceOf(400).map((row): TraceRow => ({ ...row, atMs: row.atMs! / 20 }));
  const outcomes = live(rows, { workers: 2, speeds: new Map([[1, 4]]) });
  const fast = outcomes.filter(({ worker }) => worker === 1).length;
  expect(fast).toBeGreaterThan(250);
});
