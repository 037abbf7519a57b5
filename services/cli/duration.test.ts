import { expect, test } from "vitest";
import { duration, parseDuration, printDuration } from "./duration.ts";

test.each([
  ["10m", 600_000],
  ["90s", 90_000],
  ["1h", 3_600_000],
  ["250ms", 250],
  ["1001ms", 1_001],
])("%s is read and printed as it is written", (text, ms) => {
  expect([parseDuration(text), printDuration(ms)]).toEqual([ms, text]);
});

test("what is no time is refused, and so is one beyond the bounds", () => {
  expect(["", "10", "m", "-1s", "1 m", "1d"].map(parseDuration)).toEqual(Array(6).fill(undefined));
  expect([parseDuration(" 1.5h "), printDuration(90_000), printDuration(0)]).toEqual([5_400_000, "90s", "0s"]);
  const option = duration({ initial: 1_000, least: 1_000, most: 60_000, doc: "" });
  expect(["999ms", "1s", "1m", "61s"].map((text) => option.parse(text))).toEqual([
    { expected: "a time from 1s to 1m, such as 90s or 10m" },
    1_000,
    60_000,
    { expected: "a time from 1s to 1m, such as 90s or 10m" },
  ]);
});
