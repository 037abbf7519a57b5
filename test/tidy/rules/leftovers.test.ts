import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { leftovers } from "./leftovers.ts";

test.each([
  ["docs/a.md", "# A\nTODO write", "a note to oneself"],
  ["proto/a.proto", "// FIXME", "a note to oneself"],
  ["lib/a/one.test.ts", "test.only('a', () => {});", "a lonely test"],
  ["lib/a/one.test.ts", "describe.concurrent.only('a', () => {});", "a lonely test"],
  ["lib/a/one.ts", "function a() {\n  debugger;\n}", "debugger"],
  ["services/worker/one.ts", "console.log(1);", "console"],
  ["services/worker/one.ts", "const a = process.env.HOME;", "the environment"],
  ["lib/host/one.ts", "throw new Error('a');", "no StatorError"],
])("%s may not hold %j", (path, text, complaint) => {
  expect(leftovers(treeOf({ [path]: text }))).toEqual([expect.stringContaining(complaint)]);
});

test("what belongs there stays", () => {
  const tree = treeOf({
    "services/cli/one.ts": "console.log(process.env.HOME);",
    "lib/a/one.ts": `throw new StatorError("INTERNAL");`,
  });
  expect(leftovers(tree)).toEqual([]);
});
