import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

test("so many have a turn, the others wait in the order in which they asked", () => {
  const turns = new Turns(2);
  const had: number[] = [];
  const takers = [0, 1, 2, 3, 4].map((name) => ({ onTurn: () => void had.push(name) }));
  expect(takers.map((taker) => turns.acquire(taker))).toEqual([true, true, false, false, false]);
  turns.release(takers[3]!);
  turns.release(takers[0]!);
  turns.release(takers[0]!);
  expect([had, turns.running, turns.waiting]).toEqual([[2], 2, 1]);
  for (const taker of takers) turns.release(taker);
  expect([had, turns.running, turns.waiting]).toEqual([[2, 4], 0, 0]);
});
