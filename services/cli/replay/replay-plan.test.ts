import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { resolveConfig } from "#lib/host/config/resolve";
import { NO_TIME } from "#lib/perf/time-prior";
import { PROFILES } from "#lib/simulation/replay/profile";
import { OPTIONS } from "../compose/options.ts";
import { readProfile } from "./profile-file.ts";
import { oneFile, placesOf, planRuns, planSetup, planSource, planSplits } from "./replay-plan.ts";
import { printProgress } from "./replay-progress.ts";
import { nameOfSplit } from "./splits.ts";
import { planTuning, printTunings, tuningsOf } from "./tuning.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-replay-"));
afterAll(() => rmSync(folder, { recursive: true }));

function valuesOf(...args: string[]) {
  return resolveConfig(OPTIONS, { args, env: {}, file: undefined }).config.values;
}

function fileOf(name: string, text: string): string {
  const file = path.join(folder, name);
  writeFileSync(file, text);
  return file;
}

test("options say on what is replayed", () => {
  const values = valuesOf(
    ...["--workers", "4", "--speed", "1.5", "--worker-speed", "0=0.5", "--worker-speed", "4=2"],
    ...["--fail", "3@600s", "--join", "4@1.5m", "--join", "3@900000ms"],
  );
  const setup = planSetup(values);
  expect(setup).toMatchObject({ workers: 4, speed: 1.5, blocks: 10_000, blockTokens: 512, traceBlockTokens: 512 });
  expect(setup.speeds).toEqual(
    new Map([
      [0, 0.5],
      [4, 2],
    ]),
  );
  expect(setup.changes).toEqual([
    { atMs: 90_000, worker: 4, what: "join" },
    { atMs: 600_000, worker: 3, what: "fail" },
    { atMs: 900_000, worker: 3, what: "join" },
  ]);
  expect(placesOf(setup)).toBe(5);
});

test.each([
  [[], { load: { kind: "open" }, sessions: "rows", likeReference: false }],
  [["--sessions", "rows"], { load: { kind: "sessions" }, sessions: "rows" }],
  [["--sessions", "second-block"], { load: { kind: "sessions" }, sessions: "second-block" }],
  [["--concurrency", "16"], { load: { kind: "closed", concurrency: 16 }, sessions: "rows" }],
  [
    ["--concurrency", "16", "--sessions", "second-block"],
    { load: { kind: "closed", concurrency: 16 }, sessions: "second-block" },
  ],
  [["--like-reference"], { likeReference: true }],
])("options say when requests come, and on what: %j", (args, setup) => {
  expect(planSetup(valuesOf(...args))).toMatchObject(setup);
});

test("requests come from one file, or are made up", () => {
  const args = ["--trace-block-tokens", "64", "--seed", "3"];
  expect(planSource(valuesOf(...args, "--trace-format", "mooncake-delta"), ["a.jsonl"])).toEqual({
    ...{ kind: "file", path: "a.jsonl", options: { format: "mooncake-delta", blockTokens: 64 } },
  });
  expect(planSource(valuesOf(...args, "--synthetic", "groups=2"), [])).toMatchObject({
    ...{ kind: "traffic", traffic: { groups: 2, promptsPerGroup: 32, blockTokens: 64, seed: 3n } },
  });
  expect(() => planSource(valuesOf("--synthetic", "groups=2"), ["a.jsonl"])).toThrow("a.jsonl is one");
  expect(() => planSource(valuesOf(), [])).toThrow("Name one trace");
  expect(() => oneFile(["a", "b"])).toThrow("Name one trace");
});

test("each rule is replayed once, with the numbers of the router's options", () => {
  const runs = planRuns(
    valuesOf("--rule", "ttft,dynamo", "--rule", "ttft", "--seed", "9", "--router-temperature", "0.5"),
  );
  expect(runs.map(({ name, seed }) => [name, seed])).toEqual([
    ["ttft", 9n],
    ["dynamo", 9n],
  ]);
  expect(runs[1]!.routing).toMatchObject({ constants: { temperature: 0.5 }, predictedTtlMs: 5_000 });
  expect(runs[0]).toMatchObject({ explained: [], explainsLongest: false });
  expect(planRuns(valuesOf("--explain", "3", "--html", "x.html"))[0]).toMatchObject({
    explained: [3],
    explainsLongest: true,
  });
});

test.each([
  [["--rule", "tttf"], /--rule: expected rules of ttft, dynamo, .*, such as ttft, got "tttf"/],
  [["--speed", "0"], /--speed: expected a number from 0.001/],
  [["--workers", "0"], /--workers: expected a whole number from 1/],
  [["--worker-speed", "0=0"], /--worker-speed: expected the place of a worker and a factor/],
  [["--worker-speed", "2=2"], /--worker-speed names worker 2, and there are 2: places count from 0 to 1/],
  [["--fail", "1@soon"], /--fail: expected the place of a worker and a moment in ms, s, m or h/],
  [["--fail", "2@1s"], /--fail names worker 2/],
  [["--join", "900000@1s"], /--join names worker 900000/],
  [["--sessions", "on"], /--sessions: expected one of off, rows, second-block/],
  [["--concurrency", "0"], /--concurrency: expected a whole number from 1/],
  [["--trace-format", "bailian"], /--trace-format: expected one of mooncake, mooncake-delta/],
  [["--profile", "fast"], /There is no profile fast, .*By name there are reference, bench-8k/],
])("what cannot be is refused: %j", (args, said) => {
  expect(() => planSetup(valuesOf(...args))).toThrow(said);
});

test("a profile is a name, or a file of what passes take", () => {
  expect(readProfile("bench-8k")).toBe(PROFILES["bench-8k"]);
  const file = fileOf("mine.json", '{"prefillTokenMs": 0.1, "decodeMs": 8, "passTokens": 2048, "maxRunning": 32}');
  const times = { ...NO_TIME, prefillTokenMs: 0.1, decodeMs: 8, passTokens: 2_048 };
  expect(readProfile(file)).toEqual({ times, maxRunning: 32 });
  expect(readProfile(fileOf("usual.json", '{"prefillTokenMs": 1}'))).toEqual({
    times: { ...NO_TIME, prefillTokenMs: 1, passTokens: 8_192 },
    maxRunning: 256,
  });
});

test.each([
  ['{"prefillTokensMs": 1}', "prefillTokensMs is no field of a profile. Did you mean prefillTokenMs?"],
  ['{"speed": 1, "gpu": 2}', "speed, gpu is no field of a profile. A profile has passMs, "],
  ['{"prefillTokenMs": "1"}', "prefillTokenMs is no number."],
  ['{"prefillTokenMs": -1}', "less than no time"],
  ['{"prefillTokenMs": 1, "maxRunning": 0}', "maxRunning is a whole number from 1 on."],
  ['{"prefillTokenMs": 1, "passTokens": 1.5}', "passTokens is a whole number from 1 on."],
  ['{"decodeMs": 1}', "prompts would take no time"],
  ["[1]", "is no JSON object"],
  ["{", "is no JSON."],
])("a profile that says %s is refused", (text, said) => {
  expect(() => readProfile(fileOf("bad.json", text))).toThrow(said);
});

test("a number is tuned over seeds, and what seeds make of it is told", () => {
  const values = valuesOf("--rule", "dynamo", "--seeds", "2", "--seed", "5");
  const plan = planTuning("router.temperature=0,1,2", values, planRuns(values));
  expect(plan.map(({ value, run }) => [value, run.seed, run.routing.constants?.temperature])).toEqual([
    ...[
      ["0", 5n, 0],
      ["0", 6n, 0],
    ],
    ...[
      ["1", 5n, 1],
      ["1", 6n, 1],
    ],
    ...[
      ["2", 5n, 2],
      ["2", 6n, 2],
    ],
  ]);
  const tunings = tuningsOf(plan, [100, 110, 109, 115, 150, 160], "router.temperature=0,1,2");
  expect(printTunings(tunings, 2)).toBe(
    `
dynamo, router.temperature  TTFT  OF SEEDS    BESIDE BEST
0                           105   100 to 110  +0.0 %       best
1                           112   109 to 115  +6.7 %       within noise
2                           155   150 to 160  +47.6 %      worse
Over 2 seeds one value differs by up to 9.5 %, the values from each other by 47.6 %.`.trimStart(),
  );
});

test.each([
  ["temperatur=1,2", "temperatur is no number of a rule. Did you mean temperature?"],
  ["=1,2", "There are temperature, kv-overlap-score-credit,"],
  ["temperature=1,1", "give several values"],
  ["temperature=1,-1", "temperature is a number from 0 to 1000000, not -1"],
])("--tune %s is refused", (tune, said) => {
  const values = valuesOf();
  expect(() => planTuning(tune, values, planRuns(values))).toThrow(said);
});

test("progress is a bar, and the time left once something is done", () => {
  expect(printProgress(0, 5_000)).toBe(`replaying ${"░".repeat(24)} 0 %`);
  expect(printProgress(0.5, 5_000)).toBe(`replaying ${"█".repeat(12)}${"░".repeat(12)} 50 %, 5 s left`);
  expect(printProgress(0.1, 60_000)).toContain("10 %, 9 min left");
});

function configOf(...args: string[]) {
  return resolveConfig(OPTIONS, { args, env: {}, file: undefined }).config;
}

test.each([
  [[], ["2"]],
  [["--workers", "8"], ["8"]],
  [["--prefill", "7", "--decode", "1"], ["7+1"]],
  [["--workers", "2", "--prefill", "5", "--decode", "1"], ["5+1+2"]],
  [["--workers", "3", "--prefill", "1"], ["1+0+3"]],
  [
    ["--splits", "8,7+1", "--splits", "6+2,8"],
    ["8", "7+1", "6+2"],
  ],
  [
    ["--workers", "4", "--splits", "all,2+6"],
    ["4", "3+1", "2+2", "1+3", "2+6"],
  ],
])("options say which clusters there are: %j", (args, names) => {
  expect(planSplits(configOf(...args)).map(nameOfSplit)).toEqual(names);
});

test.each([
  [["--prefill", "7"], "add --decode"],
  [["--decode", "7"], "add --prefill"],
  [["--prefill", "7", "--decode", "1", "--splits", "8"], "--splits names several"],
])("clusters that nobody can serve, or that are said twice, are refused: %j", (args, sentence) => {
  expect(() => planSplits(configOf(...args))).toThrow(sentence);
});

test.each(["0", "7+0", "7+1+1", "x", "", "7+", "1025"])("no cluster is called %j", (given) => {
  expect(() => configOf("--splits", given)).toThrow("8,7+1,6+2");
});

test("clusters, rules and rules of bypass are rows, and those of bypass only where prompts may be computed apart", () => {
  const config = configOf("--splits", "2,1+1", "--rule", "ttft,dynamo", "--bypass", "none,priced");
  const splits = planSplits(config);
  const runs = planRuns(config.values, splits);
  expect(runs.map(({ name, workers, roles }) => [name, workers, roles?.join()])).toEqual([
    ["2 ttft", 2, undefined],
    ["2 dynamo", 2, undefined],
    ["1+1 ttft none", 2, "prefill,decode"],
    ["1+1 ttft priced", 2, "prefill,decode"],
    ["1+1 dynamo none", 2, "prefill,decode"],
    ["1+1 dynamo priced", 2, "prefill,decode"],
  ]);
  expect(runs[3]!.routing.split).toMatchObject({ bypass: "priced", bootstrap: false });
  expect(planSetup(config.values, splits).workers).toBe(2);
});

test("a profile may say how KV moves", () => {
  const file = fileOf("moves.json", '{"prefillTokenMs": 1, "kvBytesPerSecond": 1e9}');
  expect(readProfile(file).transfer).toEqual({ tokenBytes: 131_072, bytesPerSecond: 1e9 });
  const wrong = fileOf("still.json", '{"prefillTokenMs": 1, "kvBytesPerSecond": 0}');
  expect(() => readProfile(wrong)).toThrow("kvBytesPerSecond is a number from 1 on");
});
