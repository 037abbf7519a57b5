import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { cycles } from "./cycles.ts";

test("a cycle is told from end to end, type-only imports included", () => {
  const tree = treeOf({
    "lib/a/one.ts": `import { two } from "./two.ts";`,
    "lib/a/two.ts": `import type { Three } from "./three.ts"; import { four } from "./four.ts";`,
    "lib/a/three.ts": `export { one } from "#lib/a/one";`,
    "lib/a/four.ts": "",
  });
  expect(cycles(tree)).toEqual(["lib/a/one.ts → lib/a/two.ts → lib/a/three.ts → lib/a/one.ts"]);
});

test("two ways to one file are no cycle", () => {
  const tree = treeOf({
    "lib/a/one.ts": `import "./two.ts"; import "./three.ts";`,
    "lib/a/two.ts": `import "./three.ts";`,
    "lib/a/three.ts": "",
  });
  expect(cycles(tree)).toEqual([]);
});
