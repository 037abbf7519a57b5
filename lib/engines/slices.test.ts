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
    const one = async () => ({ durationUs });
    return (await slices.move("importUs", left, one)).results.length;
  };
  const step = (durationUs: number, entries = 1) =>
    slices.onStep({ status: "ok", counts: new Uint8Array(entries), durationUs });
  return { scheduler, slices, move, step };
}

test("a slice takes a small part of the time of a step, once both are known", async () => {
  const { scheduler, move, step } = openSlices();
  expect(await move(20)).toBe(8);
  step(1000);
  expect(await move(20)).toBe(4);
  // What computes nothing is no step, a longer one counts in part, a shorter one at once.
  step(0, 0);
  step(6000);
  expect(await move(20)).toBe(8);
  step(500);
  expect(await move(20)).toBe(2);
  step(10);
  expect([await move(20), await move(20, 0)]).toEqual([1, 0]);
  expect(scheduler.spent.slice(0, 2)).toEqual([{ importUs: 160 }, { importUs: 80 }]);
});

test("where nobody waits for a step a slice is as large as one may be, and blocks that cost nothing always", async () => {
  const { scheduler, move, step } = openSlices();
  step(10);
  expect([await move(0), await move(0)]).toEqual([8, 64]);
  expect([await move(50), await move(50)]).toEqual([64, 1]);
  scheduler.runningRequests = 0;
  expect(await move(50)).toBe(64);
  scheduler.waitingRequests = 1;
  expect(await move(50)).toBe(1);
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
  const outcomes = await Promise.all(all);
  expect(outcomes.map(({ results }) => results[0]!.status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  expect(log).toEqual(["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]));
});
