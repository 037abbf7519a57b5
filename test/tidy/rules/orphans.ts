import type { Rule } from "../tree.ts";

/** Files that are started and not imported, beside those that package.json or buf.gen.yaml names. */
const ENTRIES = [
  /\.test\.ts$/,
  /^[^/]+\.config\.ts$/,
  /^bin\/stator\.mjs$/,
  /^services\/cli\/main\.ts$/,
  /^native\//,
  /^models\//,
  /^test\/bench\//,
  /^test\/fixtures\//,
];

/** No file that nobody imports. */
export const orphans: Rule = ({ files, sources }) => {
  const named = files.filter(({ path }) => path === "package.json" || path === "buf.gen.yaml");
  const scripts = named.map(({ text }) => text).join("\n");
  const imported = new Set(sources.flatMap((source) => source.imports.map(({ file }) => file)));
  return sources
    .filter(({ path }) => !imported.has(path) && !scripts.includes(path) && !ENTRIES.some((entry) => entry.test(path)))
    .map(({ path }) => `${path}: nobody imports it`);
};
