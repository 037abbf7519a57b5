import { expect, it } from "vitest";
import { batchBlocks } from "./limits.ts";

it("a batch has so many bytes, and eight blocks whatever they have", () => {
  const blocks = [1_000, 10_000, 100_000].map((blockBytes) => batchBlocks(blockBytes, { batchBytes: 100_000 }));
  expect(blocks).toEqual([100, 10, 8]);
  expect(batchBlocks(1, { batchBytes: 0 })).toBe(8);
});
