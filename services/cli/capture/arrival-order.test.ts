import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { ArrivalOrder } from "./arrival-order.ts";

test("what ends first is held back until nothing earlier is open", () => {
  const order = new ArrivalOrder(10);
  const add = (number: number, openFrom: number) => order.add({ number, openFrom }).map((each) => each.number);
  expect([add(2, 0), add(1, 0), add(0, 3), add(4, 3), add(3, 5)]).toEqual([[], [], [0, 1, 2], [], [3, 4]]);
  expect([order.held, order.rest()]).toEqual([0, []]);
});

test("of too many the first are given, and what comes behind them is too late", () => {
  const order = new ArrivalOrder(2);
  const add = (number: number, openFrom = 0) => order.add({ number, openFrom }).map((each) => each.number);
  expect([add(3), add(4), add(5), add(1), add(2)]).toEqual([[], [], [3], [], []]);
  expect([order.late, order.held]).toEqual([2, 2]);
  expect(add(6, 6)).toEqual([4, 5]);
  expect(order.rest().map((each) => each.number)).toEqual([6]);
});

test("whatever ends when, all come once and in order as long as there is room", () => {
  for (let seed = 1n; seed <= 40n; seed++) {
    const chance = new SeededChance(seed);
    const order = new ArrivalOrder(1_000);
    const open: number[] = [];
    const given: number[] = [];
    let [came, lost] = [0, 0];
    const end = () => {
      const [number = 0] = open.splice(pick(chance, open.length), 1);
      // Some never come.
      if (pick(chance, 10) === 0) lost++;
      else given.push(...order.add({ number, openFrom: open[0] ?? came }).map((each) => each.number));
    };
    for (let round = 0; round < 300; round++) {
      if (open.length === 0 || pick(chance, 2) === 0) open.push(came++);
      else end();
    }
    while (open.length > 0) end();
    given.push(...order.rest().map((each) => each.number));
    expect([given.length, order.late]).toEqual([came - lost, 0]);
    expect(given).toEqual(given.toSorted((left, right) => left - right));
  }
});
