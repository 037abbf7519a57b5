import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "./chance.ts";
import { BoundedCache, Queue } from "./collections.ts";

describe("a bounded cache", () => {
  it("lets the oldest go that nobody asked for", () => {
    const gone: string[] = [];
    const cache = new BoundedCache<string, number>(3, (key) => gone.push(key));
    for (const [at, key] of ["a", "b", "c"].entries()) cache.set(key, at, 1);
    expect(cache.get("a")).toBe(0);
    cache.set("d", 3, 1);
    expect([gone, cache.get("a"), cache.get("b")]).toEqual([["b"], 0, undefined]);
    cache.set("e", 4, 2);
    expect(gone).toEqual(["b", "c", "d"]);
    expect([cache.size, cache.weight, cache.get("a")]).toEqual([2, 3, 0]);
  });

  it("never weighs more than it may, and knows what it holds", () => {
    const chance = new SeededChance(9n);
    const held = new Map<number, number>();
    const cache = new BoundedCache<number, number>(50, (key, value) => {
      expect(held.get(key)).toBe(value);
      held.delete(key);
    });
    for (let round = 0; round < 5000; round++) {
      const key = pick(chance, 40);
      const weight = pick(chance, 60);
      if (chance.next() < 0.5) expect(cache.get(key)).toBe(held.get(key));
      else if (chance.next() < 0.9) {
        held.delete(key);
        cache.set(key, round, weight);
        if (weight <= 50) held.set(key, round);
      } else {
        held.delete(key);
        cache.delete(key);
      }
      expect(cache.size).toBe(held.size);
      expect(cache.weight).toBeLessThanOrEqual(50);
    }
  });
});

it("a queue gives back what it took, in order, up to its bound", () => {
  const queue = new Queue<number>(40);
  const naive: number[] = [];
  const chance = new SeededChance(2n);
  for (let round = 0; round < 2000; round++) {
    if (chance.next() < 0.55) {
      expect(queue.push(round)).toBe(naive.length < 40);
      if (naive.length < 40) naive.push(round);
    } else expect(queue.shift()).toBe(naive.shift());
    expect([queue.size, queue.peek()]).toEqual([naive.length, naive[0]]);
  }
});
