import { expect, it } from "vitest";
import { createLoopLoad } from "./loop-load.ts";

it("a loop that computes is busier than one that waits", async () => {
  const load = createLoopLoad();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const waiting = load();
  const untilMs = performance.now() + 50;
  while (performance.now() < untilMs);
  await new Promise(setImmediate);
  expect(load()).toBeGreaterThan(waiting);
});
