import { describe, expect, it } from "vitest";
import { Backoff } from "./backoff.ts";
import { type Chance, SeededChance } from "./chance.ts";

const TIMES = { firstMs: 100, longestMs: 2_000 };
const draw = (backoff: Backoff, count: number) => Array.from({ length: count }, () => backoff.nextMs());
/** Chance that always draws the same. */
const always = (value: number): Chance => ({ next: () => value, id: () => 1n });

describe("a back-off", () => {
  it("doubles up to the longest wait and stays there", () => {
    expect(draw(new Backoff(TIMES), 7)).toEqual([100, 200, 400, 800, 1_600, 2_000, 2_000]);
    expect(draw(new Backoff(TIMES), 3_000).at(-1)).toBe(2_000);
    expect(draw(new Backoff({ firstMs: 100, longestMs: 60 }), 2)).toEqual([60, 60]);
    expect(draw(new Backoff({ firstMs: 100, longestMs: 100 }), 2)).toEqual([100, 100]);
  });

  it("counts its waits, and begins again after a success alone", () => {
    const backoff = new Backoff(TIMES);
    expect(backoff.waits).toBe(0);
    draw(backoff, 3);
    expect(backoff.waits).toBe(3);
    expect(backoff.nextMs()).toBe(800);
    backoff.reset();
    expect(backoff.waits).toBe(0);
    expect(draw(backoff, 2)).toEqual([100, 200]);
  });

  it("is shortened by chance to a half at least, and its next wait does not depend on that", () => {
    expect(draw(new Backoff(TIMES, always(0)), 3)).toEqual([50, 100, 200]);
    expect(draw(new Backoff(TIMES, always(0.5)), 3)).toEqual([75, 150, 300]);
    const one = draw(new Backoff(TIMES, new SeededChance(7n)), 20);
    expect(one).not.toEqual(draw(new Backoff(TIMES, new SeededChance(8n)), 20));
    draw(new Backoff(TIMES), 20).forEach((wholeMs, at) => {
      expect(one[at]).toBeGreaterThanOrEqual(wholeMs / 2);
      expect(one[at]).toBeLessThan(wholeMs);
    });
  });
});
