import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { size } from "./size.ts";

const lines = (count: number) => "  one();\n".repeat(count);

test("a file has at most 500 lines", () => {
  expect(size(treeOf({ "lib/a/one.ts": lines(500) }))).toEqual([]);
  expect(size(treeOf({ "lib/a/one.ts": lines(501) }))).toEqual(["lib/a/one.ts: 501 lines"]);
});

test("a function has at most 70 lines, tests excepted", () => {
  const long = `function a() {\n${lines(69)}}\n`;
  expect(size(treeOf({ "lib/a/one.ts": `function a() {\n${lines(68)}}\n` }))).toEqual([]);
  expect(size(treeOf({ "lib/a/one.ts": long }))).toEqual(["lib/a/one.ts:1: a function of 71 lines"]);
  expect(size(treeOf({ "lib/a/one.ts": `class A {\n  b() {\n${lines(69)}}\n}` }))).toHaveLength(1);
  expect(size(treeOf({ "lib/a/one.test.ts": long }))).toEqual([]);
});
