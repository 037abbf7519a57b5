import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { RequestRecordSchema } from "#gen/stator/frontend/v1/frontend_pb";
import { Ledger } from "./ledger.ts";

it("keeps the last records, newest first, and sums over all", () => {
  const ledger = new Ledger(3);
  for (let at = 1; at <= 5; at++) {
    const outcome = at === 5 ? "failed" : "finished";
    ledger.add(create(RequestRecordSchema, { requestId: `r${at}`, outcome, completionTokens: at }));
  }
  expect(ledger.latest(10).map((record) => record.requestId)).toEqual(["r5", "r4", "r3"]);
  expect(ledger.latest(1)).toHaveLength(1);
  expect(ledger.totals).toMatchObject({ requests: 5, finished: 4, failed: 1, completionTokens: 15 });
});

it("gives no more records than it has, nor than are asked for", () => {
  const ledger = new Ledger(2);
  expect(ledger.latest(5)).toEqual([]);
  const names = (limit: number) => ledger.latest(limit).map((record) => record.requestId);
  ledger.add(create(RequestRecordSchema, { requestId: "a", outcome: "cancelled", promptTokens: 5, cachedTokens: 2 }));
  expect([names(0), names(1), names(2)]).toEqual([[], ["a"], ["a"]]);
  ledger.add(create(RequestRecordSchema, { requestId: "b", outcome: "finished", promptTokens: 1, migrations: 3 }));
  expect([names(1), names(2), names(3)]).toEqual([["b"], ["b", "a"], ["b", "a"]]);
  const sums = { requests: 2, finished: 1, cancelled: 1, failed: 0, promptTokens: 6, cachedTokens: 2, migrations: 3 };
  expect(ledger.totals).toMatchObject(sums);
});

it("adds up what was asked of each name, by how it ended", () => {
  const ledger = new Ledger(1);
  const add = (model: string, outcome: string, totalMs: number, arrivedUnixMs: bigint, firstTokenMs?: number) =>
    ledger.add(create(RequestRecordSchema, { model, outcome, totalMs, arrivedUnixMs, firstTokenMs }));
  add("m", "finished", 30, 7n, 10);
  add("m", "finished", 5, 5n);
  add("m", "failed", 4, 9n, 1);
  add("m", "cancelled", 3, 8n, 1);
  add("n", "failed", 1, 1n);
  expect(ledger.model("m")).toEqual({
    finished: { requests: 2, totalMs: 35 },
    failed: { requests: 1, totalMs: 4 },
    cancelled: { requests: 1, totalMs: 3 },
    firstTokenMs: 10,
    lastUnixMs: 9,
  });
  expect(ledger.model("n")?.failed).toEqual({ requests: 1, totalMs: 1 });
  expect(ledger.model("o")).toBeUndefined();
});

it("adds up so many names and no more: one that nobody asks for goes first", () => {
  const ledger = new Ledger(1, 2);
  for (const model of ["a", "b", "a", "c"]) ledger.add(create(RequestRecordSchema, { model, outcome: "finished" }));
  expect(["a", "b", "c"].map((name) => ledger.model(name)?.finished.requests)).toEqual([2, undefined, 1]);
});
