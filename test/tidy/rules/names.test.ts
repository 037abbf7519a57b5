import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { names } from "./names.ts";

test.each([
  ["lib/kv/blockPool.ts", "kebab-case"],
  ["lib/kv/Block.ts", "kebab-case"],
  ["lib/kv/utils.ts", "bucket"],
  ["lib/kv/types.ts", "bucket"],
  ["lib/tool-call/parse.ts", "one word"],
])("%s is refused", (path, complaint) => {
  expect(names(treeOf({ [path]: "" }))).toEqual([expect.stringContaining(complaint)]);
});

test.each(["lib/kv/block-pool.ts", "lib/kv/pool.process.test.ts", "vitest.config.ts", "bin/node24.mjs"])(
  "%s is accepted",
  (path) => {
    expect(names(treeOf({ [path]: "" }))).toEqual([]);
  },
);
