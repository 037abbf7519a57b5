import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { SlotQueue } from "./slot-queue.ts";

test("who asks first is served first, with what is free, side by side where it can be", () => {
  const queue = new SlotQueue(4, 2);
  const granted: number[][] = [];
  const ask = (most: number) => queue.ask(most, (slots) => granted.push(slots));
  ask(3);
  ask(3);
  expect(granted).toEqual([[0, 1, 2], [3]]);
  const leave = ask(2);
  ask(2);
  expect(() => ask(1)).toThrow(/limit of 2/);
  leave();
  leave();
  queue.give([1, 2, 3]);
  expect(granted).toEqual([[0, 1, 2], [3], [1, 2]]);
  expect(queue.free).toBe(1);
  queue.give([0, 0]);
  expect(queue.free).toBe(2);
});

test("one who asks again from inside comes behind those who wait", () => {
  const queue = new SlotQueue(1, 8);
  const order: string[] = [];
  const askAgain = (name: string, times: number) => {
    if (times === 0) return;
    queue.ask(1, (slots) => {
      order.push(name);
      askAgain(name, times - 1);
      waiting.push(() => queue.give(slots));
    });
  };
  const waiting: (() => void)[] = [];
  askAgain("a", 3);
  askAgain("b", 3);
  while (waiting.length > 0) waiting.shift()!();
  expect(order.join("")).toBe("aababb");
});

test("no place is had twice and none is lost, whatever is asked and given back", () => {
  const chance = new SeededChance(5n);
  const queue = new SlotQueue(7, 100);
  const held: number[][] = [];
  const leaves: (() => void)[] = [];
  for (let round = 0; round < 2000; round++) {
    const what = pick(chance, 3);
    if (what === 0 && leaves.length < 90) leaves.push(queue.ask(1 + pick(chance, 4), (slots) => held.push(slots)));
    else if (what === 1 && held.length > 0) queue.give(held.splice(pick(chance, held.length), 1)[0]!);
    else if (leaves.length > 0) leaves.splice(pick(chance, leaves.length), 1)[0]!();
    const all = held.flat();
    expect(new Set(all).size).toBe(all.length);
    expect(queue.free).toBe(7 - all.length);
  }
});
