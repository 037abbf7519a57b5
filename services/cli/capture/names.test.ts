import { expect, test } from "vitest";
import { NumberedNames, SaltedNames } from "./names.ts";

test("numbers are dense, equal for equal blocks of the same weights, and tell nothing", () => {
  const names = new NumberedNames(10);
  const asked = [names.block("w", 7n), names.block("w", 9n), names.lone(), names.block("w", 7n), names.block("v", 7n)];
  expect(asked).toEqual([0, 1, 2, 0, 3]);
  expect([names.session(5n), names.session(6n), names.session(5n), names.forgotten]).toEqual(["1", "2", "1", 0]);
});

test("of too many blocks some are forgotten, and have another number when they come again", () => {
  const names = new NumberedNames(2);
  expect([1n, 2n, 3n, 1n].map((hash) => names.block("w", hash))).toEqual([0, 1, 2, 3]);
  expect(names.forgotten).toBe(2);
});

test("under a salt names are the same in every file, and others under another", () => {
  const [one, again, other] = [new SaltedNames("a"), new SaltedNames("a"), new SaltedNames("b")];
  expect(one.block("w", 7n)).toMatch(/^[0-9a-f]{16}$/);
  expect(one.block("w", 7n)).toBe(again.block("w", 7n));
  const different = [one.block("w", 7n), one.block("v", 7n), one.block("w", 8n), other.block("w", 7n), one.session(7n)];
  expect(new Set([...different, one.lone(), one.lone()]).size).toBe(7);
});
