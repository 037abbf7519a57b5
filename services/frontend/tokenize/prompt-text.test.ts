import { expect, test } from "vitest";
import { keptBytes, ownPiece } from "./prompt-text.ts";

test("of bytes, a part that is nearly all of its memory stays there, and counts for it; a smaller one is copied", () => {
  const memory = new Uint8Array(800);
  const [most, less] = [memory.subarray(100), memory.subarray(0, 699)];
  expect(ownPiece(most)).toBe(most);
  expect(keptBytes(most.length)).toBe(memory.length);
  const own = ownPiece(less) as Uint8Array;
  expect(own).toEqual(less);
  expect(own.buffer.byteLength).toBe(699);
});
