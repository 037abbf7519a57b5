import { expect, test } from "vitest";
import { PROFILES } from "#lib/simulation/replay/profile";
import { figuresOf } from "#lib/simulation/replay/report/figures";
import { drawTrace, TRACE_BLOCK_TOKENS } from "../../../test/support/traces.ts";
import type { ReplayRun, ReplaySetup, RunRecord } from "./replay-run.ts";
import { runAll } from "./run-all.ts";

const SETUP: ReplaySetup = {
  ...{ traceBlockTokens: TRACE_BLOCK_TOKENS, blockTokens: 256, blocks: 200, workers: 3, speed: 1 },
  profile: PROFILES.reference,
};
const ROWS = drawTrace(300);
const never = new Promise<never>(() => {});

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
    [1, 3].map((threads) => runAll(runs, { rows: ROWS, setup: SETUP, threads, stopped: never, onProgress: () => {} })),
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

test("another seed draws otherwise", async () => {
  const runs = [run("random"), run("random", { seed: 8n })];
  const records = await runAll(runs, { rows: ROWS, setup: SETUP, threads: 2, stopped: never, onProgress: () => {} });
  expect(records[0]!.outcomes.worker).not.toEqual(records[1]!.outcomes.worker);
});

test("when it is stopped a run ends where it is, and the next does not begin", async () => {
  let stop = (_: string): void => {};
  const stopped = new Promise<string>((resolve) => {
    stop = resolve;
  });
  const rows = drawTrace(20_000);
  const options = { rows, setup: SETUP, threads: 1, stopped, onProgress: () => stop("enough") };
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
  const failing = runAll([run("ttft")], { rows: ROWS, setup, threads: 1, stopped: never, onProgress: () => {} });
  await expect(failing).rejects.toThrow();
});

test("prompts that fit nowhere are refused, and it is said why", async () => {
  const setup = { ...SETUP, blocks: 8 };
  const [record] = await runAll([run("ttft")], { rows: ROWS, setup, threads: 1, stopped: never, onProgress: () => {} });
  expect(record!.refusals.length).toBeGreaterThan(0);
  expect(record!.refusals.length).toBeLessThanOrEqual(3);
  expect(figuresOf(record!.outcomes, { rows: ROWS.length, places: 3 }).refused).toBeGreaterThan(0);
});
