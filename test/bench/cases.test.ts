import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { CASES } from "./cases.ts";

test.each(Object.entries(CASES))("%s is run by its file, alone", (name, { file, bounds, beside = [] }) => {
  expect(readFileSync(path.join(import.meta.dirname, "cases", file), "utf8")).toContain(`"${name}": `);
  expect(Object.keys(CASES).filter((other) => other.includes(name))).toEqual([name]);
  expect(new Set([...Object.keys(bounds), ...beside]).size).toBe(Object.keys(bounds).length + beside.length);
});
