import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { aboutPath } from "../capture/about.ts";
import type { CapturedRow } from "../capture/row.ts";
import { replayDecisions, runReplayDecisions } from "./replay-decisions.ts";

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stator-decisions-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(lines: readonly unknown[], about?: object): string {
  const file = path.join(folder, `${++files}.jsonl`);
  writeFileSync(file, lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  if (about) writeFileSync(aboutPath(file), JSON.stringify(about));
  return file;
}

const aboutOf = (constants: object) => ({ block_size: 16, ranks: [], constants });

/** A decision between a worker with all of a prompt and many requests, and an idle one with two ranks. */
function row(chosen: number, more: object = {}): CapturedRow {
  const decision = {
    ...{ block_tokens: 16, turn: 0, answer_tokens: 10, workers: ["01", "02", "02"], times_of: [0, 0, 0], chosen },
    columns: {
      rank: [0, 0, 1],
      timed: [1, 1, 1],
      deviceTokens: [96, 0, 0],
      openRequests: [2, 1, 0],
      hostTokens: [0, 64, 0],
    },
    times: [{ prefillTokenMs: 1, passTokens: 1_000 }],
    ...more,
  };
  const stator = { model: "m", worker: "01", rank: 0, rule: "ttft", decision };
  return { timestamp: 5, input_length: 100, output_length: 1, hash_ids: [], priority: 0, stator };
}

const said: string[] = [];
const run = (file: string, rule?: "least-request") =>
  runReplayDecisions({ path: file, rule }, { values: {} as never, print: (line) => said.push(line) });

test("decisions are the same by their rule, and another rule's are named with the term that differs", async () => {
  const file = fileOf([row(0), { timestamp: 1 }, row(0, { held: true }), ""]);
  expect(await replayDecisions({ path: file, rule: undefined })).toMatchObject({
    rows: 3,
    decisions: 2,
    held: 1,
    same: 2,
  });
  expect(await replayDecisions({ path: file, rule: "least-request" })).toEqual({
    ...{ rows: 3, decisions: 2, held: 1, same: 1, terms: { "requests, this one too": 1 } },
    changed: [
      {
        ...{ line: 1, timestamp: 5, before: "0000000000000001", now: "0000000000000002/1" },
        ...{ term: "requests, this one too", values: [3, 1] },
      },
    ],
  });
  expect([await run(file), await run(file, "least-request")]).toEqual([0, 0]);
  expect(said[0]).toBe("3 rows, 2 decisions: 2 are the same, 0 are another one; 1 were made by sessions.");
  expect(said[1]).toMatch(/1 because of: requests, this one too[\s\S]*0000000000000002\/1/);
});

test("one that its own rule does not make again is a failure", async () => {
  expect(await run(fileOf([row(2)]))).toBe(1);
});

test("the numbers of the rules are those of the capture", async () => {
  // With all that a host has for nothing, the worker that has it is as good as one with all on its device.
  const decision = {
    columns: { ...row(0).stator.decision!.columns, deviceTokens: [60, 0, 0], hostTokens: [0, 96, 0] },
  };
  const [usual, free] = [fileOf([row(1, decision)]), fileOf([row(1, decision)], aboutOf({ hostWeight: 1 }))];
  expect([await run(usual), await run(free)]).toEqual([0, 0]);
  const dear = fileOf([row(1, decision)], aboutOf({ hostWeight: 0 }));
  expect((await replayDecisions({ path: dear, rule: undefined })).changed[0]).toMatchObject({ term: "onboarding" });
});

test("what is no such file is said", async () => {
  const reasonOf = (file: string) =>
    replayDecisions({ path: file, rule: undefined }).then(String, (error: { reason?: string }) => error.reason);
  expect(await reasonOf(path.join(folder, "none"))).toBe("FILE_NOT_FOUND");
  expect(await reasonOf(fileOf([{ timestamp: 1 }]))).toBe("BAD_CONFIG");
  expect(await reasonOf(fileOf(["{"]))).toBe("CORRUPT");
  for (const broken of [{ chosen: 3 }, { times_of: [0, 0] }, { times_of: [0, 0, 1] }, { columns: { rank: [0] } }]) {
    expect(await reasonOf(fileOf([row(0, broken)]))).toBe("CORRUPT");
  }
});
