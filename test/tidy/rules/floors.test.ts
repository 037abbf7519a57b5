import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { floors } from "./floors.ts";

const check = (path: string, text: string) => floors(treeOf({ [path]: text }));

test("a room may import lower floors, itself and packages", () => {
  const text = `import { a } from "#lib/base/errors"; import { b } from "./pool.ts"; import { c } from "#gen/x/y_pb"; import d from "yaml";`;
  expect(check("lib/kv/block.ts", text)).toEqual([]);
});

test.each([
  ["lib/kv/block.ts", `import { a } from "#lib/routing/index";`, "floor 3"],
  ["lib/kv/block.ts", `import type { A } from "#lib/rpc/channel";`, "floor 2"],
  ["lib/kv/block.ts", `import { a } from "../serving/request.ts";`, "floor 4"],
  ["lib/kv/block.test.ts", `import { a } from "#lib/routing/index";`, "floor 3"],
  ["lib/kv/block.ts", `export { a } from "#lib/routing/index";`, "floor 3"],
  ["lib/kv/block.ts", `const a = await import("#lib/routing/index");`, "floor 3"],
  ["lib/kv/block.ts", `const a = new URL("../routing/thread.ts", import.meta.url);`, "floor 3"],
  ["lib/base/errors.ts", `import { A } from "#gen/a/b_pb";`, "floor 0"],
  ["lib/kv/block.ts", `import { a } from "../../test/support/program.ts";`, "no room"],
  ["lib/attic/block.ts", "", "no floor"],
  ["services/router/main.ts", `import { a } from "#services/worker/board";`, "floor 7"],
  ["services/cli/main.ts", `import { a } from "#services/worker/board";`, "only services/cli/compose/"],
])("%s may not say %s", (path, text, complaint) => {
  expect(check(path, text)).toEqual([expect.stringContaining(complaint)]);
});

test("compose joins services", () => {
  expect(check("services/cli/compose/worker.ts", `import { a } from "#services/worker/board";`)).toEqual([]);
});
