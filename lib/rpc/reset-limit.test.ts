import { expect, test } from "vitest";
import { ResetCounter } from "./reset-limit.ts";

test("a peer has its burst and then its rate, whatever session it comes by", () => {
  const counter = new ResetCounter({ burst: 3, perSecond: 10 });
  const take = (peer: string, nowMs: number) => counter.take(peer, nowMs);
  expect([1, 2, 3, 4].map(() => take("a", 0))).toEqual([true, true, true, false]);
  expect(take("b", 0)).toBe(true);
  expect(take("a", 50)).toBe(false);
  expect(take("a", 150)).toBe(true);
  expect([1, 2, 3, 4].map(() => take("a", 60_000))).toEqual([true, true, true, false]);
});
