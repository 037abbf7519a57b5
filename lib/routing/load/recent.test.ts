import { expect, test } from "vitest";
import { RecentRate } from "./recent.ts";

test("a steady stream has its rate, and what was long ago has none", () => {
  const rate = new RecentRate();
  expect(rate.perMs(1_000)).toBe(0);
  for (let nowMs = 0; nowMs <= 40_000; nowMs += 10) rate.add(5, nowMs);
  expect(rate.perMs(40_000)).toBeCloseTo(0.5, 2);
  expect(rate.perMs(44_000)).toBeCloseTo(0.5 / Math.E, 2);
  expect(rate.perMs(140_000)).toBeCloseTo(0, 9);
});

test("nothing that comes changes nothing, whenever it does", () => {
  const [rate, other] = [new RecentRate(), new RecentRate()];
  for (const each of [rate, other]) each.add(1_000, 50_000);
  for (let nowMs = 50_000; nowMs < 60_000; nowMs += 7) other.add(0, nowMs);
  for (const each of [rate, other]) each.add(500, 61_000);
  expect(other.perMs(62_000)).toBe(rate.perMs(62_000));
});

test("a second of work shows as its share of the window", () => {
  const rate = new RecentRate();
  rate.add(1_000, 50_000);
  expect(rate.perMs(50_000)).toBe(0.25);
});
