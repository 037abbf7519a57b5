import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { packages } from "./packages.ts";

const check = (path: string, text: string) => {
  const manifest = { dependencies: { yaml: "1", "@a/b": "1" }, devDependencies: { vitest: "1" } };
  return packages(treeOf({ "package.json": JSON.stringify(manifest), [path]: text }));
};

test("what runs may import its dependencies", () => {
  expect(check("lib/a/one.ts", `import "yaml"; import "@a/b/deep"; import "node:fs"; import "#lib/a/two";`)).toEqual(
    [],
  );
  expect(check("lib/a/one.test.ts", `import "vitest";`)).toEqual([]);
  expect(check("test/e2e/one.ts", `import "vitest";`)).toEqual([]);
});

test.each(["native/build.mjs", "tools/build/prepare.mjs"])("%s runs without the development dependencies", (path) => {
  expect(check(path, `import "vitest";`)).toHaveLength(1);
});

test.each(["vitest", "left-pad", "@a/c/deep", "fs"])("%s is none", (name) => {
  expect(check("lib/a/one.ts", `import "${name}";`)).toHaveLength(1);
});
