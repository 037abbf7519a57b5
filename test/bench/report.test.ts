import { expect, test } from "vitest";
import type { BenchCase } from "./cases.ts";
import { isBad, printTable, rowsAgainst, rowsOf } from "./report.ts";

const BENCH: BenchCase = {
  file: "a.ts",
  about: "a / b",
  bounds: { ratio: { atMost: 1.5 }, speed: { atLeast: 10 } },
  beside: ["pinnedRatio"],
};

test("the median of all runs is judged by the bound, and a missed bound is bad", () => {
  const runs = [1.4, 1.6, 9].map((ratio) => ({ ratio, speed: 10, pinnedRatio: 1, other: 5 }));
  const rows = rowsOf("a/b/c", BENCH, runs, true);
  expect(rows).toEqual([
    ["a/b/c", "ratio", "1.60", "<= 1.50", "MISSED"],
    ["a/b/c", "speed", "10.0", ">= 10.0", "holds"],
    ["a/b/c", "pinnedRatio", "1.00", "", ""],
  ]);
  expect(rows.map(isBad)).toEqual([true, false, false]);
  expect(rowsOf("a/b/c", BENCH, [{ speed: 10, pinnedRatio: 1 }], true)[0]).toContain("MISSED");
});

test("a small volume is not judged, and a case that cannot run says why", () => {
  expect(rowsOf("a/b/c", BENCH, [{ ratio: 9, speed: 1, pinnedRatio: 1 }], false).some(isBad)).toBe(false);
  expect(rowsOf("a/b/c", BENCH, [{ skipped: "no addon" }], true)).toEqual([["a/b/c", "", "", "", "skipped: no addon"]]);
});

test("against another commit every number is compared", () => {
  const here = [2, 1, 1.2].map((ratio) => ({ ratio, us: 20, name: "x" }));
  const there = [1, 1, 1].map((ratio) => ({ ratio, us: 10, name: "x" }));
  expect(rowsAgainst("a/b/c", BENCH, { here, there, judged: true })).toEqual([
    ["a/b/c", "ratio", "1.20", "1.00", "1.200", "83 %, 0 %", "<= 1.50", "holds"],
    ["a/b/c", "us", "20.0", "10.0", "2.000", "0 %, 0 %", "", ""],
  ]);
});

test("columns are as wide as their widest cell", () => {
  expect(
    printTable([
      ["a", "bb", "c"],
      ["aaa", "b", ""],
    ]),
  ).toBe("a    bb  c\naaa  b\n");
});
