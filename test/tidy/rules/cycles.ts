import type { Rule, Tree } from "../tree.ts";

/** No file imports itself by way of others; type-only imports are included. */
export const cycles: Rule = (tree) => {
  const graph = importGraph(tree);
  const done = new Set<string>();
  const trail: string[] = [];
  const found: string[] = [];
  const visit = (file: string): void => {
    const at = trail.indexOf(file);
    if (at >= 0) found.push([...trail.slice(at), file].join(" → "));
    if (at >= 0 || done.has(file)) return;
    trail.push(file);
    for (const next of graph.get(file) ?? []) visit(next);
    trail.pop();
    done.add(file);
  };
  for (const file of graph.keys()) visit(file);
  return found;
};

function importGraph({ sources }: Tree): Map<string, string[]> {
  return new Map(sources.map(({ path, imports }) => [path, imports.flatMap(({ file }) => file ?? [])]));
}
