import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { lock } from "./lock.ts";

const check = (packages: Record<string, unknown>) =>
  lock(treeOf({ "package-lock.json": JSON.stringify({ packages }) }));

test("every dependency has an entry, beside the package or above it", () => {
  const packages = {
    "": { dependencies: { a: "1" } },
    "node_modules/a": { dependencies: { b: "1", c: "1" } },
    "node_modules/a/node_modules/b": { dependencies: { c: "1" } },
    "node_modules/c": {},
  };
  expect(check(packages)).toEqual([]);
});

test("a platform package without an entry is found", () => {
  const packages = { "node_modules/a": { optionalDependencies: { "a-darwin-x64": "1" } } };
  expect(check(packages)).toEqual(["package-lock.json: node_modules/a needs a-darwin-x64; run npm run lock"]);
});

test("engines are found, but for our own", () => {
  const engines = { node: ">=22" };
  expect(check({ "": { engines }, "node_modules/a": { engines } })).toEqual([
    "package-lock.json: node_modules/a has engines; run npm run lock",
  ]);
});

test("an address is found", () => {
  expect(check({ "node_modules/a": { resolved: "https://example.test/a.tgz" } })).toHaveLength(1);
});
