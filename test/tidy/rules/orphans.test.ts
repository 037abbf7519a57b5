import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { orphans } from "./orphans.ts";

test("a file that nobody imports is found, whatever else is there", () => {
  const tree = treeOf({
    "package.json": `{ "scripts": { "gen": "node tools/gen/gen.ts" } }`,
    "tools/gen/gen.ts": "",
    "services/cli/main.ts": `import "#lib/a/one";`,
    "lib/a/one.ts": `new Worker(new URL("./thread.ts", import.meta.url));`,
    "lib/a/thread.ts": "",
    "lib/a/forgotten.ts": "",
    "lib/a/one.test.ts": "",
  });
  expect(orphans(tree)).toEqual(["lib/a/forgotten.ts: nobody imports it"]);
});
