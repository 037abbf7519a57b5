import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CapturedPromptSchema, CaptureHeaderSchema, CaptureStateSchema } from "#gen/stator/router/v1/router_pb";
import { viewBytes } from "#lib/base/bytes";
import { aboutPath, type CaptureAbout } from "./about.ts";
import { NumberedNames } from "./names.ts";
import { Recorder, type RecorderOptions } from "./recorder.ts";
import type { CapturedRow } from "./row.ts";

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stator-capture-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const header = create(CaptureHeaderSchema, {
  ...{ version: "1", blockTokens: 16, rule: "ttft", hashScheme: "x", constants: { temperature: 2 } },
  ranks: [
    { worker: 1n, weights: "w", rule: "ttft", times: { prefillTokenMs: 1, passTokens: 8 }, reuseTokens: 64 },
    { worker: 2n },
  ],
});

function open(more: Partial<RecorderOptions> = {}) {
  const file = path.join(folder, `${++files}.jsonl`);
  const options = {
    path: file,
    maxBytes: 1 << 20,
    names: new NumberedNames(100),
    naming: "numbers",
    held: 100,
    ...more,
  };
  const recorder = new Recorder(options);
  recorder.header(header);
  const add = (number: number, init: MessageInitShape<typeof CapturedPromptSchema>) =>
    recorder.prompt(
      create(CapturedPromptSchema, {
        ...{ number: BigInt(number), openFrom: BigInt(number + 1), model: "m", weights: "w", worker: 1n, rule: "ttft" },
        ...{ promptTokens: 33, sequenceHashes: viewBytes(BigUint64Array.of(5n, 6n)), answerTokens: [4] },
        ...init,
      }),
    );
  const close = () => {
    recorder.close({ ended: "time", seconds: 3 });
    const rows = readFileSync(file, "utf8").split("\n").filter(Boolean);
    const about = JSON.parse(readFileSync(aboutPath(file), "utf8")) as CaptureAbout;
    return { rows: rows.map((row) => JSON.parse(row) as CapturedRow), about };
  };
  return { file, recorder, add, close };
}

test("a prompt is a row: as many blocks as it begins, and what was foreseen beside what came", () => {
  const { file, recorder, add, close } = open();
  add(0, { atMs: 1.23456, session: 9n, priority: -3, predicted: { firstTokenMs: 7, cachedTokens: 0 }, seen: {} });
  add(1, { promptTokens: 32, waitedMs: 50, moves: 2, seen: { firstTokenMs: 8, cachedTokens: 16 } });
  add(2, { promptTokens: 3, sequenceHashes: new Uint8Array(0), session: 9n });
  recorder.state(create(CaptureStateSchema, { open: 5n, lost: 6n, leftOut: 7n }));
  const { rows, about } = close();
  const stator = { model: "m", worker: "0000000000000001", rank: 0, rule: "ttft" };
  expect(rows).toEqual([
    {
      ...{ timestamp: 1.235, input_length: 33, output_length: 4, hash_ids: [0, 1, 2], session_id: "1", priority: -3 },
      stator: { ...stator, predicted_ms: 7, predicted_tokens: 0 },
    },
    {
      ...{ timestamp: 0, input_length: 32, output_length: 4, hash_ids: [0, 1], priority: 0 },
      stator: { ...stator, seen_ms: 8, seen_tokens: 16, waited_ms: 50, moves: 2 },
    },
    { timestamp: 0, input_length: 3, output_length: 4, hash_ids: [3], session_id: "1", priority: 0, stator },
  ]);
  const { bytes: size } = about;
  expect([size, statSync(file).mode & 0o777]).toEqual([statSync(file).size, 0o600]);
  expect(about).toMatchObject({ block_size: 16, rows: 3, open: 5, lost: 6, left_out: 7, seconds: 3, ended: "time" });
  const times = { prefillTokenMs: 1, passTokens: 8 };
  expect(about).toMatchObject({
    constants: { temperature: 2 },
    ranks: [{ times, total_blocks: null, reuse_tokens: 64 }, { times: null }],
  });
});

test("choices of a prompt are rows of their own; those without a token are none", () => {
  const { add, close } = open();
  add(0, { answerTokens: [3, 0, 5] });
  add(1, { answerTokens: [0] });
  const { rows, about } = close();
  expect(rows.map(({ output_length }) => output_length)).toEqual([3, 5]);
  expect(about).toMatchObject({ rows: 2, without_answer: 1 });
});

test("a file ends where its size would be too much, with a whole line", () => {
  const { recorder, add, close } = open({ maxBytes: 400 });
  for (let number = 0; number < 5; number++) add(number, {});
  expect(recorder.isFull).toBe(true);
  const { rows, about } = close();
  expect([rows.length, about.rows, about.bytes <= 400]).toEqual([2, 2, true]);
});

test("rows stand in the order in which requests came; what is held back at the end is written", () => {
  const { add, close } = open({ held: 2 });
  for (const number of [3, 4, 5, 0, 2, 1]) add(number, { openFrom: 0n, atMs: number });
  const { rows, about } = close();
  expect(rows.map(({ timestamp }) => timestamp)).toEqual([3, 4, 5]);
  expect(about.late).toBe(3);
});

test("a file that is there is left alone, and of what never began nothing stays", () => {
  const { file, close } = open();
  close();
  expect(() => open({ path: file })).toThrow(expect.objectContaining({ reason: "BAD_CONFIG" }));
  const never = path.join(folder, "never.jsonl");
  const recorder = new Recorder({ path: never, maxBytes: 9, names: new NumberedNames(1), naming: "", held: 1 });
  recorder.close({ ended: "", seconds: 0 });
  expect([existsSync(never), existsSync(aboutPath(never))]).toEqual([false, false]);
  expect(() => open({ path: path.join(folder, "none", "x") })).toThrow(/its folder is not there/);
});
