import { expect, test } from "vitest";
import { treeOf } from "../tree.ts";
import { places } from "./places.ts";

test.each([
  "/work/main/lib",
  "see /root/.npmrc",
  "/home/ann/stator",
  "/Users/ann/x",
  "https://registry.npmjs.org/a",
  `"resolved": "x"`,
])("%s is true in one place only", (text) => {
  expect(places(treeOf({ "docs/a.md": text }))).toHaveLength(1);
});

test.each(["a unit of /work/ per step", "#lib/work/main", "/etc/stator/config.yaml", "./root/x"])(
  "%s is harmless",
  (text) => {
    expect(places(treeOf({ "docs/a.md": text }))).toEqual([]);
  },
);
