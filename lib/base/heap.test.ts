import { expect, it } from "vitest";
import { pick, SeededChance } from "./chance.ts";
import { Heap } from "./heap.ts";

it("a heap gives what a sorted list would, while items come, go and are dropped", () => {
  const chance = new SeededChance(1n);
  const heap = new Heap<number>((left, right) => left < right);
  let naive: number[] = [];
  for (let at = 0; at < 5_000; at++) {
    const dice = pick(chance, 1_000);
    if (dice < 550) {
      heap.push(dice);
      naive.push(dice);
      naive.sort((left, right) => left - right);
    } else if (dice < 998) {
      expect(heap.peek()).toBe(naive[0]);
      expect(heap.pop()).toBe(naive.shift());
    } else {
      heap.keep((item) => item % 3 !== 0);
      naive = naive.filter((item) => item % 3 !== 0);
    }
    expect(heap.size).toBe(naive.length);
  }
  while (heap.size > 0) expect(heap.pop()).toBe(naive.shift());
  expect([heap.peek(), heap.pop(), naive.length]).toEqual([undefined, undefined, 0]);
});
