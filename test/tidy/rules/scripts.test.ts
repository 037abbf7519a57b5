import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { scripts } from "./scripts.ts";

test("a script that starts a missing file is found", () => {
  const manifest = {
    scripts: { gen: "node run.mjs test/gen.ts --all", start: "exec node bin/a.mjs up", lint: "biome" },
  };
  const tree = treeOf({ "package.json": JSON.stringify(manifest), "run.mjs": "", "bin/a.mjs": "" });
  expect(scripts(tree)).toEqual(["package.json: npm run gen starts test/gen.ts, which is not there"]);
});
