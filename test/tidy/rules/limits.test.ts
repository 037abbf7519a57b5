import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { limits } from "./limits.ts";

const check = (source: string, test: string, path = "lib/a/one.test.ts") =>
  limits(treeOf({ "lib/a/one.ts": source, [path]: test }));

const table =
  "interface ALimits { readonly model: string; readonly bytes: number }\nexport const A: ALimits = { bytes: 4 * 1024 };";

test.each([
  ["open({ limits: { bytes: 5 } });"],
  ["open({ limits: { bytes: size } });"],
  ["const bytes = 5; open({ limits: { bytes } });"],
])("a bound that a test sets is fine: %s", (text) => {
  expect(check(table, text)).toEqual([]);
});

test.each([
  [table, "open({ model: 'm' });", "sets bytes small"],
  [table, "open({ limits: { bytes: 4096 } });", "sets bytes small"],
  [table, "open({ limits: { bytes: 8 << 10 } });", "sets bytes small"],
  ["export interface ABounds { readonly depth: number }", "", "sets depth small"],
])("a bound without such a test is found: %s %s", (source, text, complaint) => {
  expect(check(source, text)).toEqual([expect.stringContaining(complaint)]);
});

test("tests of another room, and objects outside of tests, say nothing", () => {
  expect(check(table, "open({ bytes: 5 });", "lib/b/one.test.ts")).toHaveLength(1);
  expect(check(`${table}\nopen({ bytes: 5 });`, "")).toHaveLength(1);
  expect(check("export interface ALength { readonly bytes: number }", "")).toEqual([]);
});
