import { getHeapSpaceStatistics } from "node:v8";
import { expect, it } from "vitest";
import { settleMemory } from "./settle-memory.ts";

function youngBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")!.physical_space_size;
}

it("gives back what the young generation grew to", () => {
  let kept: object[] = [];
  for (let at = 0; at < 2_000_000; at++) {
    kept.push({ at });
    if (kept.length > 100_000) kept = [];
  }
  const grown = youngBytes();
  kept = [];
  settleMemory();
  expect(youngBytes()).toBeLessThan(grown / 2);
});
