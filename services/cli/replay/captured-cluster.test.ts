import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { resolveConfig } from "#lib/host/config/resolve";
import { NO_TIME } from "#lib/perf/time-prior";
import { PROFILES } from "#lib/simulation/replay/profile";
import { OPTIONS } from "../compose/options.ts";
import { printTaken, readCapturedCluster } from "./captured-cluster.ts";
import { planRuns, planSetup } from "./replay-plan.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-captured-"));
afterAll(() => rmSync(folder, { recursive: true }));

const RANK = {
  ...{ worker: "00000000000000aa", rank: 0, weights: "m", rule: "dynamo", block_size: 32, total_blocks: 100 },
  ...{ max_running_requests: 4, times: { prefillTokenMs: 2, passTokens: 64 }, timed_passes: 9 },
};
const ABOUT = {
  ...{ block_size: 16, rule: "dynamo", constants: { overlapCredit: 3, temperature: 0 } },
  ranks: [
    RANK,
    { ...RANK, worker: "00000000000000bb", total_blocks: 50, times: { prefillTokenMs: 5, passTokens: 64 } },
    { ...RANK, worker: "00000000000000bb", rank: 1, total_blocks: null, times: null, max_running_requests: null },
  ],
};
let files = 0;

function read(about: unknown, ...args: string[]) {
  const trace = path.join(folder, `${++files}.jsonl`);
  const text = typeof about === "string" ? about : JSON.stringify(about);
  if (about !== undefined) writeFileSync(`${trace}.about.json`, text);
  const { config } = resolveConfig(OPTIONS, { args, env: {}, file: undefined });
  const captured = readCapturedCluster(trace, config);
  return (
    captured && { captured, setup: captured.complete(planSetup(captured.values)), runs: planRuns(captured.values) }
  );
}

test("a replay of a captured trace is made on the workers that were there, each with its own cache and speed", () => {
  const { captured, setup, runs } = read(ABOUT)!;
  expect(setup).toMatchObject({ workers: 3, blocks: 100, blockTokens: 32, traceBlockTokens: 16 });
  const timesOf = (prefillTokenMs: number) => ({ ...NO_TIME, prefillTokenMs, passTokens: 64 });
  expect(setup.profile).toEqual({ times: timesOf(2), maxRunning: 4 });
  expect(setup.own).toEqual(
    new Map([
      [0, { profile: { times: timesOf(2), maxRunning: 4 }, blocks: 100 }],
      [1, { profile: { times: timesOf(5), maxRunning: 4 }, blocks: 50 }],
      [2, {}],
    ]),
  );
  expect(runs.map(({ name }) => name)).toEqual(["dynamo"]);
  expect(runs[0]!.routing.constants).toMatchObject({ overlapCredit: 3, temperature: 0 });
  // A number of the rules that is as always is not worth a word.
  expect(printTaken(captured)).toBe(
    `From ${files}.jsonl.about.json: router.kv-overlap-score-credit, rule, workers, blocks, block-tokens, trace-block-tokens, profile.`,
  );
  expect(captured.warnings).toEqual([
    "Workers that were not timed: 1. How fast they are is what they said, or a guess.",
  ]);
  const places = [0xaan, 0xbbn, 0xccn].map((worker) => captured.placeOf({ worker, rank: 0 }));
  expect([...places, captured.placeOf({ worker: 0xbbn, rank: 1 })]).toEqual([0, 1, undefined, 2]);
});

test("what somebody says goes before it", () => {
  const { captured, setup, runs } = read(
    ABOUT,
    ...["--workers", "2", "--blocks", "7", "--block-tokens", "8", "--trace-block-tokens", "4", "--rule", "ttft"],
    ...["--profile", "bench-8k", "--router-kv-overlap-score-credit", "2"],
  )!;
  expect(setup).toMatchObject({ workers: 2, blocks: 7, blockTokens: 8, traceBlockTokens: 4 });
  expect(setup.profile).toEqual(PROFILES["bench-8k"]);
  expect([...setup.own!.values()]).toEqual([{}, {}, {}]);
  expect(runs.map(({ name }) => name)).toEqual(["ttft"]);
  expect(runs[0]!.routing.constants).toMatchObject({ overlapCredit: 2 });
  expect(captured).toMatchObject({ taken: [], profile: undefined, warnings: [] });
  expect(printTaken(captured)).toMatch(/^Nothing is taken from /);
  // There is no third worker.
  expect(captured.placeOf({ worker: 0xbbn, rank: 1 })).toBeUndefined();
});

test("an engine that keeps whole chunks of prompts is simulated so, where blocks and passes allow it", () => {
  const times = { prefillTokenMs: 2, passTokens: 128 };
  const chunkOf = (rank: object, ...args: string[]) =>
    read({ ...ABOUT, ranks: [{ ...RANK, times, reuse_tokens: 64, ...rank }] }, ...args)!.setup.profile.chunkTokens;
  expect(chunkOf({})).toBe(64);
  expect(chunkOf({ max_running_requests: 64 })).toBe(64);
  expect(chunkOf({ max_running_requests: 65 })).toBeUndefined();
  // Those of a block, less than a tile, and no whole blocks.
  expect(chunkOf({ block_size: 64 })).toBeUndefined();
  expect(chunkOf({ block_size: 16, reuse_tokens: 48 })).toBeUndefined();
  expect(chunkOf({}, "--block-tokens", "24")).toBeUndefined();
  // Engines like the reference's cut prompts anywhere, and captures of before say nothing.
  expect(chunkOf({}, "--like-reference")).toBeUndefined();
  expect(chunkOf({ reuse_tokens: undefined })).toBeUndefined();
});

test("no more run side by side than a pass has tokens for", () => {
  const runningOf = (max_running_requests: unknown) =>
    read({ ...ABOUT, ranks: [{ ...RANK, max_running_requests }] })!.setup.profile.maxRunning;
  expect([runningOf(65), runningOf(64), runningOf(null), runningOf(0), runningOf("4")]).toEqual([64, 64, 64, 64, 64]);
});

test("it is said where a capture tells of more than one cluster of equals", () => {
  const ranks = [RANK, { ...RANK, worker: "00000000000000bb", weights: "other", block_size: 64 }];
  expect(read({ ...ABOUT, ranks })!.captured.warnings).toEqual([
    "There were workers of 2 models: here each takes every request.",
    "Blocks were of several sizes: here all are of the first worker's.",
  ]);
});

test("nothing beside a trace is nothing taken; what is no description of a capture is refused", () => {
  expect(read(undefined)).toBeUndefined();
  expect(read({ ...ABOUT, ranks: [] })!.setup).toMatchObject({
    workers: planSetup(OPTIONS_VALUES).workers,
    own: new Map(),
  });
  const ranksOf = (more: object) => ({ ...ABOUT, ranks: [{ ...RANK, ...more }] });
  const wrong = [
    ...["{", "null", {}, { ...ABOUT, block_size: "16" }, { ...ABOUT, constants: undefined }, { ...ABOUT, ranks: [1] }],
    ...[ranksOf({ total_blocks: -1 }), ranksOf({ total_blocks: "many" }), ranksOf({ block_size: 0 })],
    ...[ranksOf({ times: { prefillTokenMs: "fast" } }), ranksOf({ times: { chess: 1 } })],
    { ...ABOUT, constants: { temperature: "hot" } },
  ];
  for (const each of wrong) expect(() => read(each), JSON.stringify(each)).toThrow(/about\.json/);
  // What an option was given is not looked for there.
  expect(read(ranksOf({ total_blocks: "many" }), "--blocks", "7")!.setup.blocks).toBe(7);
});

const OPTIONS_VALUES = resolveConfig(OPTIONS, { args: [], env: {}, file: undefined }).config.values;
