import { expect, test } from "vitest";
import { CUT_NUMBERS } from "#lib/native/addon";
import { SeenCuts } from "./seen-cuts.ts";

const ids = Uint32Array.from({ length: 60 }, (_, at) => at * 7);

/** Cuts behind so many tokens. */
function cutsBehind(...tokens: number[]): Uint32Array {
  const cuts = new Uint32Array(tokens.length * CUT_NUMBERS);
  for (const [at, count] of tokens.entries()) cuts[at * CUT_NUMBERS + 2] = count;
  return cuts;
}

test("a beginning is seen when the same tokens came in the same place", () => {
  const seen = new SeenCuts(4096);
  expect(seen.mark(5, ids, cutsBehind(20, 40))).toBe(false);
  expect(seen.mark(5, ids, cutsBehind(20, 50))).toBe(true);
  expect(seen.mark(6, ids, cutsBehind(20))).toBe(false);
  expect(seen.mark(5, ids.subarray(1), cutsBehind(20))).toBe(false);
  expect(seen.mark(5, ids, cutsBehind(21))).toBe(false);
});

test("what stands behind a later cut is seen from there", () => {
  const seen = new SeenCuts(4096);
  seen.mark(0, ids, cutsBehind(20, 40));
  expect(seen.mark(20, ids.subarray(20), cutsBehind(20))).toBe(true);
});

test("marks are bounded: newer ones take the place of others", () => {
  const seen = new SeenCuts(100);
  expect(seen.bytes).toBe(64);
  seen.mark(0, ids, cutsBehind(20));
  for (let from = 1; from < 300; from++) seen.mark(from, ids, cutsBehind(20));
  expect(seen.mark(0, ids, cutsBehind(20))).toBe(false);
  const none = new SeenCuts(0);
  expect(none.bytes).toBe(0);
  for (let time = 0; time < 2; time++) expect(none.mark(0, ids, cutsBehind(20))).toBe(false);
});
