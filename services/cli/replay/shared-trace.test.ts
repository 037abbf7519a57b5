import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, expect, test } from "vitest";
import { PROFILES } from "#lib/simulation/replay/profile";
import { GROUPED_TRAFFIC } from "#lib/simulation/replay/trace/synthetic-traffic";
import { drawTrace, TRACE_BLOCK_TOKENS, writeTrace } from "../../../test/support/traces.ts";
import { runAll } from "./run-all.ts";
import { rowsOf, shareTrace, type TraceSource } from "./shared-trace.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stator-replay-"));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(text: string): TraceSource {
  const file = path.join(folder, "trace.jsonl");
  writeFileSync(file, text);
  return { kind: "file", path: file, options: { format: "mooncake", blockTokens: TRACE_BLOCK_TOKENS } };
}

function drawn(count: number): TraceSource {
  const source = fileOf("");
  if (source.kind === "file") writeTrace(source.path, drawTrace(count));
  return source;
}

const TRAFFIC: TraceSource = {
  kind: "traffic",
  traffic: { ...GROUPED_TRAFFIC, groups: 4, promptsPerGroup: 5, seed: 1n, blockTokens: TRACE_BLOCK_TOKENS },
};

test("a trace is shared as it was written, as often as it is gone through", () => {
  const trace = shareTrace(drawn(20));
  expect([trace.count, trace.rows.kind]).toEqual([20, "packed"]);
  expect([...rowsOf(trace)]).toEqual(drawTrace(20));
  expect([...rowsOf(structuredClone(trace))]).toEqual(drawTrace(20));
});

test.each([
  ["a file", () => drawn(20)],
  ["made-up traffic", () => TRAFFIC],
])("what would take too much memory is read by each replay for itself, with the same result: %s", async (_, source) => {
  const [packed, streamed] = [shareTrace(source()), shareTrace(source(), 1_000)];
  expect([packed.rows.kind, streamed.rows.kind]).toEqual(["packed", source().kind]);
  expect(streamed.count).toBe(20);
  expect([...rowsOf(streamed)]).toEqual([...rowsOf(packed)]);
  const run = { name: "ttft", routing: { rule: "ttft" }, seed: 1n, explained: [], explainsLongest: false } as const;
  const setup = {
    ...{ traceBlockTokens: TRACE_BLOCK_TOKENS, blockTokens: 256, blocks: 200, workers: 3, speed: 1 },
    profile: PROFILES.reference,
  };
  const about = { setup, threads: 2, stopped: new Promise<never>(() => {}), onProgress: () => {} };
  const records = await Promise.all([packed, streamed].map((trace) => runAll([run], { ...about, trace })));
  const [one, other] = records.map(([record]) => record!.outcomes);
  expect(one!.row).toHaveLength(20);
  expect(one).toEqual(other);
});

test.each([
  ["nothing", "\n", "The trace has no requests."],
  ["no JSON", "\n{", "Row 1 of the trace is not JSON"],
  [
    "no prompt",
    '{"timestamp": 1, "input_length": 0, "output_length": 1, "hash_ids": []}',
    "Row 1 of the trace has a wrong input_length",
  ],
])("a trace of %s is refused before anything runs, however large it is", (_, text, said) => {
  expect(() => shareTrace(fileOf(text))).toThrow(said);
  expect(() => shareTrace(fileOf(text), 0)).toThrow(said);
});
