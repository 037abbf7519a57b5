import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { root } from "../../tools/run-tool.ts";
import { parseSource, type Source, type TextFile } from "./source.ts";

/** The repository as the rules see it. */
export interface Tree {
  /** Every text file, generated ones left out. */
  readonly files: readonly TextFile[];
  /** The TypeScript and JavaScript among them. */
  readonly sources: readonly Source[];
}

/** A rule of the house: returns one line per place that breaks it, beginning with the file's path. */
export type Rule = (tree: Tree) => string[];

const SKIPPED = new Set([
  ".git",
  ".cache",
  "node_modules",
  "dist",
  "coverage",
  "gen",
  "native/build",
  "services/cli/new/templates",
]);
const TEXT =
  /\.(ts|mjs|json|md|proto|ya?ml|cpp|h|hpp|cc|txt|sh|py|toml|jinja|service)$|^(\.ci\/run|LICENSE|\.gitignore|deploy\/Dockerfile)$/;

/** Makes a tree of files given by path; for the tests of the rules. */
export function treeOf(texts: Readonly<Record<string, string>>): Tree {
  const files = Object.entries(texts).map(([name, text]) => ({ path: name, text }));
  const sources = files
    .filter(({ path: name }) => /\.(ts|mjs)$/.test(name))
    .map((file) => parseSource(file.path, file.text));
  return { files, sources };
}

/** Reads the checkout. */
export function readTree(): Tree {
  const texts: Record<string, string> = {};
  for (const name of listFiles("")) texts[name] = readFileSync(path.join(root, name), "utf8");
  return treeOf(texts);
}

function listFiles(folder: string): string[] {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (SKIPPED.has(name) || entry.name === "node_modules") return [];
    if (entry.isDirectory()) return listFiles(name);
    return entry.isFile() && TEXT.test(name) ? [name] : [];
  });
}
