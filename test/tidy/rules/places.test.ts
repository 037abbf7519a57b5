import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { places } from "./places.ts";

/** Written in parts, so that this file keeps the rule that it tests. */
const at = (...parts: readonly string[]) => `/${parts.join("/")}`;

test.each([
  at("work", "tree", "lib"),
  `see ${at("root", ".npmrc")}`,
  at("home", "ann", "stator"),
  at("Users", "ann", "x"),
  `https:/${at(["registry", "npmjs", "org"].join("."), "a")}`,
  `"resolved": "x"`,
])("%s is true in one place only", (text) => {
  expect(places(treeOf({ "docs/a.md": text }))).toHaveLength(1);
});

test.each([`a unit of ${at("work", "")} per step`, `#lib${at("work", "tree")}`, "/etc/stator/config.yaml", "./root/x"])(
  "%s is harmless",
  (text) => {
    expect(places(treeOf({ "docs/a.md": text }))).toEqual([]);
  },
);
