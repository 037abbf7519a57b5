import { expect, it } from "vitest";
import { batchBlocks } from "./limits.ts";

it("a batch has so many bytes and no more than a quarter of the places, and eight blocks whatever they have", () => {
  const blocks = [1_000, 10_000, 100_000].map((blockBytes) =>
    batchBlocks({ blockBytes, places: 200 }, { batchBytes: 100_000 }),
  );
  expect(blocks).toEqual([50, 10, 8]);
  expect(batchBlocks({ blockBytes: 1, places: 4 }, { batchBytes: 0 })).toBe(8);
});
