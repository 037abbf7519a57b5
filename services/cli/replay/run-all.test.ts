import { expect, test } from "vitest";
import { PROFILES } from "#lib/simulation/replay/profile";
import { figuresOf } from "#lib/simulation/replay/report/figures";
import { packTrace } from "#lib/simulation/replay/trace/packed-trace";
import type { TraceRow } from "#lib/simulation/replay/trace-row";
import { drawTrace, TRACE_BLOCK_TOKENS } from "../../../test/support/traces.ts";
import type { ReplayRun, ReplaySetup, RunRecord } from "./replay-run.ts";
import { runAll } from "./run-all.ts";
import type { SharedTrace } from "./shared-trace.ts";

const SETUP: ReplaySetup = {
  ...{ traceBlockTokens: TRACE_BLOCK_TOKENS, blockTokens: 256, blocks: 200, workers: 3, speed: 1 },
  profile: PROFILES.reference,
};
const ROWS = drawTrace(300);
const TRACE = packed(ROWS);
const never = new Promise<never>(() => {});

function packed(rows: readonly TraceRow[]): SharedTrace {
  return { count: rows.length, rows: { kind: "packed", packed: packTrace(rows) } };
}

function run(rule: ReplayRun["routing"]["rule"], more: Partial<ReplayRun> = {}): ReplayRun {
  return { name: rule, routing: { rule }, seed: 7n, explained: [], explainsLongest: false, ...more };
}

/** All that the same seed is to give again. */
function essence({ run: { name }, outcomes, explanations, refusals, longest, isComplete }: RunRecord) {
  return { name, outcomes, explanations, refusals, longest, isComplete };
}

test("runs come out in their order and do not depend on the number of threads", async () => {
  const runs = [run("ttft", { explained: [5], explainsLongest: true }), run("random"), run("round-robin")];
  const [one, three] = await Promise.all(
    [1, 3].map((threads) =>
      runAll(runs, { trace: TRACE, setup: SETUP, threads, stopped: never, onProgress: () => {} }),
    ),
  );
  expect(one!.map(essence)).toEqual(three!.map(essence));
  expect(one!.map((record) => record.run.name)).toEqual(["ttft", "random", "round-robin"]);
  expect(one![0]!.outcomes.row).toHaveLength(ROWS.length);
  const [first] = one!;
  expect(first!.explanations.get(5)?.candidates).toHaveLength(3);
  const { outcomes, longest } = first!;
  const waits = [...outcomes.row.keys()].map((at) => outcomes.firstMs[at]! - outcomes.arrivedMs[at]!);
  expect(outcomes.row[waits.indexOf(Math.max(...waits))]).toBe(longest);
  expect([...first!.explanations.keys()].sort((left, right) => left - right)).toEqual(
    [...new Set([5, longest!])].sort((left, right) => left - right),
  );
});

test("a closed loop comes to its end, and tells how far it is", async () => {
  const told: number[] = [];
  const setup: ReplaySetup = { ...SETUP, load: { kind: "closed", concurrency: 4 } };
  const onProgress = (ended: number) => told.push(ended);
  const [record] = await runAll([run("ttft")], { trace: TRACE, setup, threads: 1, stopped: never, onProgress });
  expect(told).toEqual([64, 128, 192, 256]);
  const { outcomes, isComplete } = record!;
  expect([isComplete, outcomes.row.length]).toEqual([true, ROWS.length]);
  // More than four at a time there never were.
  for (const [at, arrivedMs] of outcomes.arrivedMs.entries()) {
    const open = [...outcomes.arrivedMs.keys()].filter(
      (other) => outcomes.arrivedMs[other]! <= arrivedMs && outcomes.endedMs[other]! > arrivedMs,
    );
    expect(open.length, `request ${at}`).toBeLessThanOrEqual(4);
  }
});

test("another seed draws otherwise", async () => {
  const runs = [run("random"), run("random", { seed: 8n })];
  const records = await runAll(runs, { trace: TRACE, setup: SETUP, threads: 2, stopped: never, onProgress: () => {} });
  expect(records[0]!.outcomes.worker).not.toEqual(records[1]!.outcomes.worker);
});

test("when it is stopped a run ends where it is, and the next does not begin", async () => {
  let stop = (_: string): void => {};
  const stopped = new Promise<string>((resolve) => {
    stop = resolve;
  });
  const rows = drawTrace(20_000);
  const options = { trace: packed(rows), setup: SETUP, threads: 1, stopped, onProgress: () => stop("enough") };
  const records = await runAll([run("ttft"), run("random")], options);
  expect(records).toHaveLength(1);
  const { isComplete, outcomes } = records[0]!;
  expect(isComplete).toBe(false);
  const figures = figuresOf(outcomes, { rows: rows.length, places: 3 });
  expect(figures.requests).toBeGreaterThan(0);
  expect(figures.unended).toBe(rows.length - figures.requests);
});

test("what a run throws is thrown", async () => {
  const setup = { ...SETUP, blockTokens: 0 };
  const failing = runAll([run("ttft")], { trace: TRACE, setup, threads: 1, stopped: never, onProgress: () => {} });
  await expect(failing).rejects.toThrow();
});

test("prompts that fit nowhere are refused, and it is said why", async () => {
  const setup = { ...SETUP, blocks: 8 };
  const [record] = await runAll([run("ttft")], {
    trace: TRACE,
    setup,
    threads: 1,
    stopped: never,
    onProgress: () => {},
  });
  expect(record!.refusals.length).toBeGreaterThan(0);
  expect(record!.refusals.length).toBeLessThanOrEqual(3);
  expect(figuresOf(record!.outcomes, { rows: ROWS.length, places: 3 }).refused).toBeGreaterThan(0);
});
