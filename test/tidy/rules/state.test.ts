import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { state } from "./state.ts";

const check = (text: string) => state(treeOf({ "lib/a/one.ts": text }));

test.each([
  "let count = 0;",
  "export let count = 0;",
  "const seen = new Map();",
  "const all: number[] = [];",
  "const by = {};",
])("%s is state", (text) => {
  expect(check(text)).toHaveLength(1);
});

test.each([
  "const LIMIT = 3;",
  `const WORDS = new Set(["a"]);`,
  "const ROWS = [1];",
  "const NONE: Extras = {};",
  "const NO: readonly A[] = [];",
  "function f() { let a = 1; }",
])("%s is none", (text) => {
  expect(check(text)).toEqual([]);
});
