import path from "node:path";
import { parse as parseYaml } from "yaml";
import { badInput } from "./bad-input.ts";

/** Contents of a tree by path with forward slashes, relative to its top. */
export type Tree = ReadonlyMap<string, Buffer>;

/**
 * From where the files of a tree import each other: the folders that its buf.yaml names as modules; without one, what is above
 * the folders that spell a file's package, and the top for a file that lies elsewhere. Longest first.
 */
export function importRoots(tree: Tree): readonly string[] {
  const modules = modulesOf(tree.get("buf.yaml"));
  if (modules.length > 0) return byLength(modules);
  const roots = new Set<string>();
  for (const [file, contents] of tree) {
    const folder = path.posix.dirname(file);
    const packageName = /^\s*package\s+([\w.]+)\s*;/m.exec(contents.toString())?.[1];
    const spelled = packageName?.replaceAll(".", "/") ?? "";
    if (spelled === "" || !`/${folder}`.endsWith(`/${spelled}`)) continue;
    roots.add(folder.slice(0, -spelled.length).replace(/\/$/, ""));
  }
  return byLength([...roots]);
}

/** The path by which a file is imported. */
export function importPath(file: string, roots: readonly string[]): string {
  const root = roots.find((one) => one !== "" && file.startsWith(`${one}/`));
  return root === undefined ? file : file.slice(root.length + 1);
}

function byLength(roots: readonly string[]): readonly string[] {
  return [...roots].sort((left, right) => right.length - left.length);
}

function modulesOf(config: Buffer | undefined): readonly string[] {
  if (config === undefined) return [];
  let parsed: unknown;
  try {
    parsed = parseYaml(config.toString());
  } catch (error) {
    throw badInput(
      "The buf.yaml is not valid YAML. Mend it, or name the folder below it that holds the contracts",
      error,
    );
  }
  const { modules } = (parsed ?? {}) as { readonly modules?: unknown };
  return (Array.isArray(modules) ? modules : []).flatMap((module: { readonly path?: unknown } | null) =>
    typeof module?.path === "string" ? [path.posix.normalize(module.path)] : [],
  );
}
