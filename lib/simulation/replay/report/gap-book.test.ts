import { expect, test } from "vitest";
import { GapBook } from "./gap-book.ts";

test("quantiles of gaps are at most half a percent too high, and the mean is exact", () => {
  const book = new GapBook();
  for (let ms = 1; ms <= 1_000; ms++) book.add(ms);
  const { mean, p50, p90, p99 } = book.distribution;
  expect(mean).toBe(500.5);
  for (const [seen, exact] of [
    [p50, 500],
    [p90, 900],
    [p99, 990],
  ] as const) {
    expect(seen).toBeGreaterThanOrEqual(exact);
    expect(seen).toBeLessThan(exact * 1.0051);
  }
});

test("many equal gaps count as many, none has no quantile, and the longest have a place too", () => {
  const book = new GapBook();
  expect(book.distribution.p99).toBeNaN();
  book.add(10, 98);
  book.add(1e12, 2);
  expect(book.distribution.p50).toBeCloseTo(10, 0);
  expect(book.distribution.p99).toBeGreaterThan(1e8);
});
