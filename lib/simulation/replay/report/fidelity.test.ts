import { expect, test } from "vitest";
import type { CapturedRoute } from "../captured-route.ts";
import { fidelityOf } from "./fidelity.ts";
import { OutcomeBook } from "./outcome-columns.ts";

const ROUTE: CapturedRoute = {
  ...{ worker: 7n, rank: 0, rule: "ttft", predictedMs: 8, seenMs: 10 },
  ...{ predictedTokens: 0, seenTokens: 0 },
};

/** Requests that came at 100 ms, each with the time to its first token and its worker. */
function columnsOf(...outcomes: readonly { row: number; ttftMs?: number; worker: number }[]) {
  const book = new OutcomeBook();
  for (const { row, ttftMs, worker } of outcomes) {
    book.add({
      ...{ row, worker, arrivedMs: 100, endedMs: 900, promptTokens: 9, cachedTokens: 0, reusableTokens: 0, tokens: 1 },
      ...{
        firstMs: ttftMs && 100 + ttftMs,
        secondMs: undefined,
        prefilledBy: worker,
        movedTokens: 0,
        handOffMs: undefined,
        refusal: ttftMs === undefined ? "too long" : "",
      },
    });
  }
  return book.columns;
}

const placeOf = ({ worker }: CapturedRoute) => (worker === 7n ? 0 : undefined);

test("times are compared row by row, and workers where the rule is the one of then", () => {
  const captured = new Map<number, CapturedRoute>([
    [0, ROUTE],
    [1, { ...ROUTE, seenMs: 40 }],
    [2, { ...ROUTE, seenMs: undefined }],
    [3, { ...ROUTE, worker: 9n }],
    [4, { ...ROUTE, rule: "dynamo" }],
    [5, ROUTE],
  ]);
  const columns = columnsOf(
    ...[
      { row: 2, ttftMs: 1, worker: 1 },
      { row: 1, ttftMs: 20, worker: 1 },
      { row: 0, ttftMs: 15, worker: 0 },
      { row: 3, ttftMs: 10, worker: 1 },
      { row: 4, ttftMs: 10, worker: 1 },
      // Nothing was captured of this one, and the last was refused.
      { row: 6, ttftMs: 10, worker: 1 },
      { row: 5, worker: 0 },
    ],
  );
  const found = fidelityOf(columns, { captured, rule: "ttft", placeOf })!;
  expect(found).toMatchObject({ rows: 5, compared: 3, same: 1 });
  expect(found.elsewhere).toEqual([
    { row: 1, before: 0, now: 1 },
    { row: 2, before: 0, now: 1 },
  ]);
  // 15 for 10, 20 for 40, and two as they were.
  expect(found.replayedError.p50).toBe(0.25);
  expect(found.replayedError.mean).toBe(0.25);
  expect(found.foreseenError.mean).toBeCloseTo((3 * 0.2 + 0.8) / 4, 12);
  expect([found.seenMs.mean, found.replayedMs.mean]).toEqual([17.5, 13.75]);
  expect(fidelityOf(columns, { captured, rule: "random", placeOf })).toMatchObject({ rows: 5, compared: 0 });
});

test("a trace that was not captured has nothing to be compared with", () => {
  const columns = columnsOf({ row: 0, ttftMs: 1, worker: 0 });
  expect(fidelityOf(columns, { captured: new Map(), rule: "ttft", placeOf })).toBeUndefined();
});
