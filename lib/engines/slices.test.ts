import { expect, test } from "vitest";
import { Slices } from "./slices.ts";

function openSlices() {
  const scheduler = {
    runningRequests: 1,
    waitingRequests: 0,
    spent: [] as unknown[],
    addTransfer: (spent: unknown) => void scheduler.spent.push(spent),
  };
  const slices = new Slices({ scheduler, checkOpen() {}, afterOps: (run) => run() });
  const move = async (durationUs: number, left = 1000) => {
    const { moved } = await slices.move("importUs", left, async (count) => ({ count, durationUs: durationUs * count }));
    return moved.count;
  };
  const step = (durationUs: number, entries = 1) =>
    slices.onStep({ status: "ok", counts: new Uint8Array(entries), durationUs });
  return { scheduler, slices, move, step };
}

test("a slice takes a small part of the time of a step, once both are known", async () => {
  const { scheduler, move, step } = openSlices();
  expect(await move(20)).toBe(8);
  step(10_000);
  expect(await move(20)).toBe(40);
  // What computes nothing is no step, a longer one counts in part, a shorter one at once, and some blocks go always.
  step(0, 0);
  step(15_000);
  expect(await move(20)).toBe(44);
  step(8000);
  expect(await move(20)).toBe(32);
  // So much time is taken of the shortest step, and so many blocks go however long they take.
  step(10);
  expect([await move(20), await move(20, 3), await move(500), await move(500)]).toEqual([25, 3, 25, 8]);
  expect(scheduler.spent.slice(0, 2)).toEqual([{ importUs: 160 }, { importUs: 800 }]);
});

test("where nobody waits for a step a slice is as large as one may be, and blocks that cost nothing always", async () => {
  const { scheduler, move, step } = openSlices();
  step(10);
  expect([await move(0), await move(0)]).toEqual([8, 64]);
  expect([await move(100), await move(100)]).toEqual([64, 16]);
  scheduler.runningRequests = 0;
  expect(await move(200)).toBe(64);
  scheduler.waitingRequests = 1;
  expect(await move(200)).toBe(8);
});

test("slices go one after another in the order in which they were asked for, whatever becomes of them", async () => {
  const { slices } = openSlices();
  const log: string[] = [];
  const one = (name: string) => async () => {
    log.push(`${name} begins`);
    await Promise.resolve();
    log.push(`${name} ends`);
    if (name === "b") throw new Error("b");
    return { durationUs: 1 };
  };
  const all = ["a", "b", "c"].map((name) => slices.move("exportUs", 1, one(name)));
  const outcomes = await Promise.allSettled(all);
  expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(log).toEqual(["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});
