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
