import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, runTool } from "../run-tool.ts";
import { inTemporaryFolder } from "../temporary-folder.ts";

/** Contents by path, relative to the root. */
export type Generated = ReadonlyMap<string, string>;

/** Stubs from proto/, as buf.gen.yaml says. */
export function generateStubs(): Generated {
  return inTemporaryFolder((work) => {
    const { ok, output } = runTool("buf", ["generate", "--output", work], { capture: true });
    if (!ok) throw new Error(`The stubs cannot be generated:\n${output}`);
    return new Map(listFiles(work).map((name) => [name, readFileSync(path.join(work, name), "utf8")]));
  });
}

/** Pages and schemas from the tables in the code. Loads that code only now, so that other checks run when it is broken. */
export async function renderPages(): Promise<Generated> {
  const { PAGES } = await import("./pages.ts");
  const rendered = PAGES.map(async (page) => [page.path, await page.render()] as const);
  return new Map(await Promise.all(rendered));
}

/** Everything that belongs in gen/. */
export async function generateAll(): Promise<Generated> {
  return new Map([...generateStubs(), ...(await renderPages())]);
}

/**
 * Compares gen/ with what it should hold: one line per file that differs, is missing or should not be there. `part`
 * narrows the comparison to a folder, such as gen/ts, and `fresh` to what belongs there.
 */
export function staleFiles(fresh: Generated, part = "gen"): string[] {
  const kept = new Set(listFiles(path.join(root, part)).map((name) => `${part}/${name}`));
  const wrong: string[] = [];
  for (const [name, contents] of fresh) {
    if (!kept.has(name)) wrong.push(`${name} is missing`);
    else if (readFileSync(path.join(root, name), "utf8") !== contents) wrong.push(`${name} is stale`);
  }
  for (const name of kept) if (!fresh.has(name)) wrong.push(`${name} is made by nothing`);
  return wrong;
}

/** Makes gen/ hold exactly `fresh` and returns the paths that changed. */
export function writeGenerated(fresh: Generated): string[] {
  const changed: string[] = [];
  for (const name of listFiles(path.join(root, "gen")).map((file) => `gen/${file}`)) {
    if (fresh.has(name)) continue;
    rmSync(path.join(root, name));
    changed.push(name);
  }
  for (const [name, contents] of fresh) {
    const file = path.join(root, name);
    if (existsSync(file) && readFileSync(file, "utf8") === contents) continue;
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, contents);
    changed.push(name);
  }
  return changed;
}

/** Files below `folder`, relative to it and sorted; none when there is no such folder. */
function listFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name))).sort();
}
