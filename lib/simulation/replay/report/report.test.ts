import { expect, test } from "vitest";
import type { Outcome } from "../replay.ts";
import { largestDifferences } from "./differences.ts";
import { distributionOf } from "./distribution.ts";
import { figuresOf } from "./figures.ts";
import { OutcomeBook, type OutcomeColumns } from "./outcome-columns.ts";
import { seriesOf } from "./series.ts";
import { bestOf, sweepOf, verdictOf } from "./sweep.ts";

const USUAL: Outcome = {
  ...{ row: 0, arrivedMs: 0, firstMs: 100, endedMs: 500, promptTokens: 1_000, cachedTokens: 0, reusableTokens: 0 },
  ...{ tokens: 5, worker: 0, secondMs: 200, prefilledBy: 0, movedTokens: 0, handOffMs: undefined, refusal: "" },
};

function columnsOf(...outcomes: Partial<Outcome>[]): OutcomeColumns {
  const book = new OutcomeBook();
  for (const [row, outcome] of outcomes.entries()) book.add({ ...USUAL, row, ...outcome });
  return book.columns;
}

test("columns hold outcomes, however many there are", () => {
  const count = 3_000;
  const book = new OutcomeBook();
  for (let row = 0; row < count; row++) book.add({ ...USUAL, row, endedMs: 500 + row });
  expect(book.count).toBe(count);
  expect([...book.columns.row]).toEqual(Array.from({ length: count }, (_, row) => row));
  expect(book.columns.endedMs[count - 1]).toBe(500 + count - 1);
});

test("quantiles lie on the line between two numbers", () => {
  expect(distributionOf(Float64Array.of(4, 1, 3, 2))).toEqual({
    mean: 2.5,
    p50: 2.5,
    p90: 3.7,
    p99: 3.9699999999999998,
  });
  expect(distributionOf(Float64Array.of(7))).toEqual({ mean: 7, p50: 7, p90: 7, p99: 7 });
  expect(distributionOf(new Float64Array(0)).mean).toBeNaN();
  expect(distributionOf(new Float64Array(0)).p99).toBeNaN();
});

test("figures are sums and times of what got an answer", () => {
  const columns = columnsOf(
    { cachedTokens: 250, reusableTokens: 500 },
    {
      arrivedMs: 1_000,
      firstMs: 1_300,
      endedMs: 1_300,
      promptTokens: 3_000,
      tokens: 1,
      worker: 2,
      prefilledBy: 2,
      reusableTokens: 1_000,
    },
    {
      firstMs: undefined,
      endedMs: 9_000,
      promptTokens: 77,
      reusableTokens: 77,
      tokens: 0,
      worker: -1,
      refusal: "Too long.",
    },
  );
  const figures = figuresOf(columns, { rows: 5, places: 4 });
  expect(figures).toMatchObject({ requests: 2, refused: 1, unended: 2, promptTokens: 4_000, answerTokens: 6 });
  expect(figures).toMatchObject({ hitRatio: 250 / 4_000, ceilingRatio: 1_500 / 4_000, spanMs: 9_000 });
  expect(figures.ttftMs).toMatchObject({ mean: 200, p50: 200 });
  // An answer of one token has no time between tokens.
  expect(figures.itlMs).toEqual({ mean: 100, p50: 100, p90: 100, p99: 100 });
  expect(figures.endToEndMs.mean).toBe(400);
  // Of four workers one had half of the requests and three quarters of the tokens.
  expect(figures.imbalance).toEqual({ requests: 2, promptTokens: 3 });
});

test("a series has each request where it came, and its worker's load while it was there", () => {
  const columns = columnsOf(
    { arrivedMs: 50, firstMs: 70, endedMs: 250, cachedTokens: 500 },
    { arrivedMs: 90, firstMs: 150, endedMs: 190, worker: 1 },
    { arrivedMs: 250, firstMs: 260, endedMs: 400 },
    { arrivedMs: 120, endedMs: 390, refusal: "No." },
  );
  const series = seriesOf(columns, { stretches: 4, spanMs: 400, places: 2 });
  expect(series.stretchMs).toBe(100);
  expect(series.ttftMs).toEqual([40, Number.NaN, 10, Number.NaN]);
  expect(series.hitRatio).toEqual([0.25, Number.NaN, 0, Number.NaN]);
  expect(series.open[0]).toEqual([0.5, 1, 1, 1]);
  expect(series.open[1]!.map((each) => Number(each.toFixed(6)))).toEqual([0.1, 0.9, 0, 0]);
});

test("the requests that differ most come first, and those that one of both refused not at all", () => {
  const left = columnsOf({ firstMs: 100 }, { firstMs: 100 }, { firstMs: 100 }, { firstMs: 900 });
  const right = columnsOf({ firstMs: 140 }, { firstMs: 20 }, { firstMs: 9_000, refusal: "No." }, { firstMs: 940 });
  expect(largestDifferences(left, right, 2)).toEqual([
    { row: 1, arrivedMs: 0, promptTokens: 1_000, leftMs: 100, rightMs: 20 },
    { row: 0, arrivedMs: 0, promptTokens: 1_000, leftMs: 100, rightMs: 140 },
  ]);
  expect(largestDifferences(left, right, 9).map(({ row }) => row)).toEqual([1, 0, 3]);
});

test("a value is worse only where its ranges over seeds and those of the best do not meet", () => {
  const given = { low: [10, 12], close: [12, 15], far: [13, 14] };
  const rows = sweepOf(new Map(Object.entries(given)));
  const best = bestOf(rows);
  expect(rows[0]).toEqual({ value: "low", mean: 11, least: 10, most: 12 });
  expect(rows.map((row) => verdictOf(row, best))).toEqual(["best", "within noise", "worse"]);
});
