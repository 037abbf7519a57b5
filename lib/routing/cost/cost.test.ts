import { expect, it } from "vitest";
import { NO_TIME } from "#lib/perf/time-prior";
import { candidatesOf, timesOf } from "../../../test/support/candidates.ts";
import { isUntimed, KeptTimes } from "./kept-times.ts";
import { spreadOf } from "./spread.ts";
import { standIn } from "./stand-in.ts";

it("tells least, most, mean and the deviation over all", () => {
  expect(spreadOf(Float64Array.of(2, 4, 4, 4, 5, 5, 7, 9, 1_000), 8)).toEqual({
    least: 2,
    most: 9,
    mean: 5,
    deviation: 2,
  });
  expect(spreadOf(Float64Array.of(3), 1)).toEqual({ least: 3, most: 3, mean: 3, deviation: 0 });
});

it("keeps times as they were", () => {
  const learned = { passes: 3, factor: 2, isGuess: true };
  const kept = new KeptTimes({ ...NO_TIME, passMs: 4, passTokens: 7 }, learned);
  learned.passes = 9;
  expect([kept.passes, kept.factor, kept.isGuess, kept.passTokens]).toEqual([3, 2, true, 7]);
  const shape = {
    prefillTokens: 1,
    prefillContextTokens: 0,
    decodeSequences: 0,
    decodeContextTokens: 0,
    poolTokens: 0,
  };
  expect(kept.passMs(shape)).toBe(4);
  expect([isUntimed({ isGuess: true, passes: 0 }), isUntimed({ isGuess: true, passes: 1 })]).toEqual([true, false]);
  expect(isUntimed({ isGuess: false, passes: 0 })).toBe(false);
});

it("has the middle one of those that were timed stand in", () => {
  const speeds = [9, 1, 5, 2];
  const of = candidatesOf(speeds.map((prefillTokenMs) => ({ prior: { prefillTokenMs } })));
  const unknown = timesOf({ prefillTokenMs: 77 });
  of.times[1] = unknown;
  of.timed[1] = 0;
  standIn(of);
  // Of 9, 5 and 2.
  expect(of.times[1]).toBe(of.times[2]);
  of.timed.fill(0);
  of.times[1] = unknown;
  standIn(of);
  expect(of.times[1]).toBe(unknown);
});
