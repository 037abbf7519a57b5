import { expect, it } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { createLagProbe } from "./lag.ts";

it("lags from a load above one share until it is at most the other, as often as it may look", () => {
  const clock = new FakeClock();
  let load = 0.85;
  let looks = 0;
  const lags = createLagProbe(clock, () => {
    looks++;
    return load;
  });
  const after = (ms: number, next: number): boolean => {
    load = next;
    clock.advance(ms);
    return lags();
  };
  expect([after(19, 1), looks]).toEqual([false, 0]);
  expect(after(1, 0.85)).toBe(false);
  expect([after(20, 0.86), after(20, 0.71), after(19, 0)]).toEqual([true, true, true]);
  expect([after(1, 0.7), after(20, 0.85), looks]).toEqual([false, false, 5]);
});
