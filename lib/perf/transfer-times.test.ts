import { expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { TransferTimes } from "./transfer-times.ts";

const PRIOR = { latencyMs: 2, bytesPerMs: 1_000_000 };
const MIB = 1 << 20;

it("is its prior before anything was seen", () => {
  const times = new TransferTimes(PRIOR);
  expect([times.ms(0), times.ms(10_000_000), times.seen]).toEqual([2, 12, 0]);
});

it("learns latency and bandwidth, of transfers of many sizes", () => {
  const chance = new SeededChance(1n);
  const times = new TransferTimes(PRIOR);
  for (let at = 0; at < 500; at++) {
    const bytes = Math.round(chance.next() * 64 * MIB);
    times.observe({ bytes, ms: (0.5 + bytes / 5_000_000) * (0.9 + 0.2 * chance.next()) });
  }
  expect(times.seen).toBe(500);
  for (const bytes of [MIB, 16 * MIB, 64 * MIB]) {
    expect(times.ms(bytes) / (0.5 + bytes / 5_000_000)).toBeCloseTo(1, 0.7);
  }
});

it("follows a way that became slower, within some dozens of transfers", () => {
  const times = new TransferTimes(PRIOR);
  for (let at = 0; at < 100; at++) times.observe({ bytes: 8 * MIB, ms: 2 });
  expect(times.ms(8 * MIB)).toBeCloseTo(2, 0);
  for (let at = 0; at < 100; at++) times.observe({ bytes: 8 * MIB, ms: 200 });
  expect(times.ms(8 * MIB)).toBeGreaterThan(150);
});

it("never foretells less than nothing, nor less for more, whatever it is told", () => {
  const chance = new SeededChance(2n);
  for (let round = 0; round < 50; round++) {
    const times = new TransferTimes(PRIOR);
    for (let at = 0; at < 40; at++) {
      const [bytes, ms] = [10 ** (9 * chance.next()), 10 ** (6 * chance.next() - 3)];
      expect(times.observe({ bytes, ms })).toBe(true);
      expect(times.ms(0)).toBeGreaterThanOrEqual(0);
      expect(times.ms(1e9)).toBeGreaterThan(times.ms(0));
    }
  }
});

it("learns nothing from a transfer that brought nothing or took no time", () => {
  const times = new TransferTimes(PRIOR);
  for (const [bytes, ms] of [
    [0, 5],
    [5, 0],
    [-1, 5],
    [5, Number.NaN],
  ] as const) {
    expect(times.observe({ bytes, ms })).toBe(false);
  }
  expect([times.ms(0), times.ms(10_000_000), times.seen]).toEqual([2, 12, 0]);
});
