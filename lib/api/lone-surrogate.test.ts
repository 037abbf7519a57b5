import { expect, test } from "vitest";
import { findLoneSurrogate } from "./lone-surrogate.ts";

function find(json: string): string | undefined {
  return findLoneSurrogate(JSON.parse(json), json);
}

test.each([
  ['{"a":"\\ud83d"}', "a"],
  ['{"messages":[{"content":"x"},{"content":"\\uDE42"}]}', "messages[1].content"],
  ['{"a":["\\ud83d\\ude42",["\\ud83dx"]],"b":"\\ud83d"}', "a[1][0]"],
  ['{"a":{"\\ud83d":1}}', "a"],
  ['"\\ud83d"', ""],
  ['{"a":"\\ud83d\\ude42"}', undefined],
  ['{"a":"\\\\ud83d"}', undefined],
  ['{"a":"🙂"}', undefined],
])("%s", (json, path) => {
  expect(find(json)).toBe(path);
});

test("a body that is nested deeper than calls can be", () => {
  const depth = 30_000;
  expect(find(`${"[".repeat(depth)}"\\ud83d"${"]".repeat(depth)}`)).toHaveLength(3 * depth);
});
