import { globSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { OPTIONS } from "#services/cli/compose/options";
import { root } from "../../tools/run-tool.ts";

// A room declares its options in a file whose name ends with options.ts, as exported tables; the program joins them.
const JOINED = "services/cli/compose/options.ts";

function isTable(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  const rows = Object.values(value);
  return (
    rows.length > 0 && rows.every((row) => typeof row === "object" && row !== null && "doc" in row && "parse" in row)
  );
}

test("every option of every room is in the program's table, and declared once", async () => {
  const files = globSync("{lib,services}/**/*options.ts", { cwd: root }).filter((file) => file !== JOINED);
  const modules = await Promise.all(
    files.map(async (file) => (await import(pathToFileURL(path.join(root, file)).href)) as Record<string, unknown>),
  );
  const tables = modules.flatMap((module) => Object.values(module)).filter(isTable);
  expect(tables.flatMap((table) => Object.keys(table)).sort()).toEqual(Object.keys(OPTIONS).sort());
});
