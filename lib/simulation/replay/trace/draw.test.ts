import { expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { drawGamma, drawWhole, endsOf, type Spread } from "./draw.ts";

const COUNT = 40_000;

function momentsOf(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(square) };
}

test.each([0, 0.3, 1, 2.5, 4])("times of a variation of %f have mean 1 and vary so much", (variation) => {
  const chance = new SeededChance(3n);
  const { mean, deviation } = momentsOf(Array.from({ length: COUNT }, () => drawGamma(chance, variation)));
  expect(Math.abs(mean - 1)).toBeLessThan(0.03 * Math.max(1, variation));
  expect(Math.abs(deviation - variation)).toBeLessThan(0.08 * Math.max(variation, 0.1));
});

test("a variation of 1 is the exponential distribution", () => {
  const chance = new SeededChance(4n);
  const drawn = Array.from({ length: COUNT }, () => drawGamma(chance, 1));
  for (const limit of [0.1, 0.5, 1, 2, 3]) {
    const share = drawn.filter((value) => value <= limit).length / COUNT;
    expect(Math.abs(share - (1 - Math.exp(-limit)))).toBeLessThan(0.01);
  }
});

test("every number from the least to the most is drawn, as often", () => {
  const chance = new SeededChance(5n);
  const counts = new Map<number, number>();
  for (let at = 0; at < COUNT; at++) {
    const drawn = drawWhole(chance, { least: 3, most: 7 });
    counts.set(drawn, (counts.get(drawn) ?? 0) + 1);
  }
  expect([...counts.keys()].sort()).toEqual([3, 4, 5, 6, 7]);
  for (const count of counts.values()) expect(Math.abs(count / COUNT - 0.2)).toBeLessThan(0.01);
});

test("half of what lies around a median is below it, and none outside of the ends", () => {
  const chance = new SeededChance(6n);
  const spread: Spread = { least: 50, most: 2000, median: 400, sigma: 1 };
  const drawn = Array.from({ length: COUNT }, () => drawWhole(chance, spread));
  expect(Math.abs(drawn.filter((value) => value < 400).length / COUNT - 0.5)).toBeLessThan(0.01);
  expect(Math.abs(drawn.filter((value) => value < 400 * Math.E).length / COUNT - 0.8413)).toBeLessThan(0.01);
  expect(drawn.every((value) => value >= 50 && value <= 2000)).toBe(true);
  expect(drawn).toContain(2000);
});

test("a number is always that", () => {
  expect(drawWhole(new SeededChance(1n), 9)).toBe(9);
  expect(endsOf(9)).toEqual({ least: 9, most: 9 });
});
