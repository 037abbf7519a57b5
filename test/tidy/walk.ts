import { type Node, type Program, visitorKeys } from "oxc-parser";

/** Visits every node of a syntax tree, parents first. */
export function walk(program: Program, visit: (node: Node, parent: Node | undefined) => void): void {
  const descend = (node: Node, parent: Node | undefined): void => {
    visit(node, parent);
    for (const key of visitorKeys[node.type] ?? []) {
      const child = (node as unknown as Record<string, Node | (Node | null)[] | null>)[key];
      if (Array.isArray(child)) {
        for (const each of child) if (each !== null) descend(each, node);
      } else if (child !== null && child !== undefined) descend(child, node);
    }
  };
  descend(program, undefined);
}
