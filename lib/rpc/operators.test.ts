import { expect, test } from "vitest";
import { mayOperate } from "./operators.ts";

test.each([
  ["127.0.0.1:5000", true],
  ["127.3.2.1:5000", true],
  ["::1:5000", true],
  ["[::1]:5000", true],
  ["::ffff:127.0.0.1:5000", true],
  ["10.0.0.1:5000", false],
  ["::ffff:10.0.0.1:5000", false],
  ["2001:db8::1:5000", false],
  ["127.0.0.1.example:5000", false],
  ["unknown", false],
  ["", false],
])("a caller at %s may operate: %s", (address, may) => {
  expect(mayOperate({ address, proven: false }, "here")).toBe(may);
  expect(mayOperate({ address, proven: true }, "here")).toBe(true);
  expect(mayOperate({ address, proven: false }, "anywhere")).toBe(true);
});
