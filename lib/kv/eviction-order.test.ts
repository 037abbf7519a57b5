import { expect, test } from "vitest";
import { EvictionOrder } from "./eviction-order.ts";

test("the lowest priority comes first, of equal ones the one that was returned first, and none that is not true any more", () => {
  const gone = new Set<number>();
  const order = new EvictionOrder(8, ({ block }) => !gone.has(block));
  for (const [block, priority, tick] of [[1, 1, 1], [2, 0, 3], [3, 0, 2], [4, -1, 9]] as const) // biome-ignore format: one line
    order.push({ block, priority, tick });
  gone.add(3);
  expect([order.pop(), order.pop(), order.pop(), order.pop()].map((each) => each?.block)).toEqual([4, 2, 1, undefined]);
});

test("entries that are not true any more stay until there are twice as many as blocks, and 64", () => {
  const order = new EvictionOrder(2, ({ block }) => block === 7);
  order.push({ block: 7, priority: 0, tick: 0 });
  for (let tick = 1; tick < 68; tick++) order.push({ block: 1, priority: 0, tick });
  expect(order.size).toBe(68);
  order.push({ block: 1, priority: 0, tick: 68 });
  expect(order.size).toBe(2);
  expect([order.pop()?.block, order.pop()]).toEqual([7, undefined]);
});
