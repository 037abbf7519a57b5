import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { HandOffSchema, RequestRecordSchema } from "#gen/stator/frontend/v1/frontend_pb";
import { createLog, type LogLevel } from "#lib/host/log";
import { logRequest } from "./request-line.ts";

const RECORD = create(RequestRecordSchema, {
  requestId: "r1",
  route: "chat",
  model: "m",
  workers: [1n, 2n],
  promptTokens: 10,
  cachedTokens: 4,
  completionTokens: 7,
  outcome: "finished",
  firstTokenMs: 12.4,
  totalMs: 99.6,
  migrations: 1,
});

function linesOf(level: LogLevel, record = RECORD): Record<string, unknown>[] {
  const lines: string[] = [];
  logRequest(createLog({ level, pretty: false, write: (line) => void lines.push(line) }), record);
  return lines.map((line) => {
    const { time: _, ...fields } = JSON.parse(line) as Record<string, unknown>;
    return fields;
  });
}

test("a request is one line at info: model, worker, tokens, milliseconds, outcome", () => {
  const told = { phrase: "request ended", request: "r1", route: "chat", model: "m", worker: "0000000000000002" };
  const counts = { promptTokens: 10, cachedTokens: 4, tokens: 7, firstTokenMs: 12, ms: 100 };
  expect(linesOf("info")).toEqual([{ level: "info", ...told, migrations: 1, ...counts, outcome: "finished" }]);
  expect(linesOf("warn")).toEqual([]);
});

test("one that failed before its first token says why, and nothing of what it never had", () => {
  const failed = { ...RECORD, workers: [], migrations: 0, firstTokenMs: undefined, outcome: "failed" };
  const [line] = linesOf("info", { ...failed, reason: "NO_WORKERS" });
  expect(line).toMatchObject({ outcome: "failed", reason: "NO_WORKERS" });
  expect(Object.keys(line ?? {})).not.toEqual(expect.arrayContaining(["worker", "migrations", "firstTokenMs"]));
});

test("one whose prompt was computed elsewhere says where, and how that came to its answer", () => {
  const times = { prefillWorker: 1n, decodeWorker: 2n, transferMs: 3.4, rung: "shared-memory", blocks: 5 };
  const line = (more: object) =>
    linesOf("info", { ...RECORD, handOff: create(HandOffSchema, { ...times, ...more }) })[0];
  const told = { worker: "0000000000000002", prefillWorker: "0000000000000001", transferMs: 3, blocks: 5 };
  expect(line({})).toMatchObject({ ...told, rung: "shared-memory" });
  expect(line({})).not.toHaveProperty("recomputed");
  expect(line({ reason: "CORRUPT" })).toMatchObject({ recomputed: "CORRUPT" });
  const untold = line({ transferMs: undefined, rung: "", blocks: 0, decodeWorker: 0n });
  expect(untold).toMatchObject({ worker: "0000000000000002" });
  for (const name of ["transferMs", "rung", "blocks"]) expect(untold).not.toHaveProperty(name);
});
