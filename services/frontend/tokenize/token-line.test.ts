import { expect, test } from "vitest";
import { TokenLine } from "./token-line.ts";

const ids = (...values: number[]) => Uint32Array.of(...values);

test("a prompt that goes on from another shares its memory, as long as there is room", () => {
  const line = new TokenLine(new Uint32Array(8).subarray(0, 5));
  const before = line.first(5);
  expect(line.extend(5, ids(6, 7, 8))).toBe(true);
  expect(line.first(8).buffer).toBe(before.buffer);
  expect(line.bytes).toBe(8 * Uint32Array.BYTES_PER_ELEMENT);
  expect(line.extend(8, ids(9))).toBe(true);
  expect(line.first(9)).toEqual(ids(0, 0, 0, 0, 0, 6, 7, 8, 9));
  expect(line.bytes).toBeGreaterThan(9 * Uint32Array.BYTES_PER_ELEMENT);
  expect(before).toEqual(ids(0, 0, 0, 0, 0));
});

test("what was written stays: other ids need a line of their own", () => {
  const line = new TokenLine(ids(1, 2, 3, 4));
  const whole = line.first(4);
  expect(line.extend(2, ids(3, 9))).toBe(false);
  expect(line.extend(2, ids(3))).toBe(true);
  expect(line.extend(2, ids(3, 4, 5))).toBe(true);
  const other = line.fork(2, ids(9));
  expect(whole).toEqual(ids(1, 2, 3, 4));
  expect(line.first(line.length)).toEqual(ids(1, 2, 3, 4, 5));
  expect(other.first(other.length)).toEqual(ids(1, 2, 9));
});

test("a fork that does not go on has no room", () => {
  const fork = new TokenLine(ids(1, 2, 3, 4)).fork(3);
  expect([fork.length, fork.bytes]).toEqual([3, 3 * Uint32Array.BYTES_PER_ELEMENT]);
});
