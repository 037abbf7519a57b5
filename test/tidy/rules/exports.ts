import type { StaticExport } from "oxc-parser";
import { lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";

/**
 * Exports have names of their own and a doc comment; the first of several overloads has it for all. Tests and tool
 * configurations need neither.
 */
export const exports: Rule = ({ sources }) => {
  return sources
    .filter(({ path }) => !/\.(test|config)\.ts$/.test(path))
    .flatMap((source) => {
      const statements = source.module.staticExports;
      return statements.flatMap((one, at) => (isOverload(one, statements[at - 1]) ? [] : checkExport(source, one)));
    });
};

function isOverload(one: StaticExport, before: StaticExport | undefined): boolean {
  const name = one.entries[0]?.exportName.name;
  return name != null && name === before?.entries[0]?.exportName.name;
}

function checkExport(source: Source, { start, entries }: StaticExport): string[] {
  const at = `${source.path}:${lineAt(source.text, start)}`;
  if (entries.some(({ exportName }) => exportName.kind === "Default")) return [`${at}: default export`];
  if (entries.some(({ importName }) => importName.kind !== "Name" && importName.kind !== "None"))
    return [`${at}: export *`];
  const declares = entries.some(({ moduleRequest, start: entryStart }) => moduleRequest === null && entryStart > start);
  const isList = /^export\s+(type\s+)?\{/.test(source.text.slice(start, start + 30));
  if (!declares || isList || hasDocComment(source, start)) return [];
  return [`${at}: ${entries[0]?.exportName.name ?? "an export"} has no doc comment`];
}

/** Whether a doc comment ends right before `start`. Decorators and overloads do not occur here. */
function hasDocComment(source: Source, start: number): boolean {
  return source.comments.some(({ type, value, end }) => {
    return type === "Block" && value.startsWith("*") && end <= start && source.text.slice(end, start).trim() === "";
  });
}
