import { expect, test } from "vitest";
import { systemClock } from "./system-clock.ts";

test("no delay is the next turn of the event loop: nothing is waited for, and nobody is starved", async () => {
  let turns = 0;
  let calls = 0;
  let spin = (): void => {
    turns++;
    setImmediate(spin);
  };
  spin();
  await new Promise<void>((resolve) => {
    const again = (): void => void (++calls < 500 ? systemClock.after(0, again, { keepAlive: true }) : resolve());
    again();
  });
  spin = () => {};
  expect(turns).toBeGreaterThanOrEqual(calls - 1);
  expect(turns).toBeLessThanOrEqual(calls + 2);
});

test("a timer that is cancelled does not fire, with and without a delay", async () => {
  const fired: string[] = [];
  systemClock.after(0, () => fired.push("at once")).cancel();
  systemClock.after(1, () => fired.push("later")).cancel();
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(fired).toEqual([]);
});

test("soon is the end of the turn: behind what the turn promised, and in the order in which it was asked for", async () => {
  const fired: string[] = [];
  const told = new Promise<void>((resolve) => {
    systemClock.soon(() => {
      fired.push("first");
      systemClock.soon(resolve);
      queueMicrotask(() => fired.push("of first"));
    });
  });
  systemClock.soon(() => fired.push("second"));
  queueMicrotask(() => fired.push("promised"));
  await told;
  expect(fired).toEqual(["promised", "first", "of first", "second"]);
});
