import type { Node } from "oxc-parser";

/**
 * What a node takes from the world around its program: a name such as `setTimeout`, a member such as `Date.now`, or
 * `new Date()`; `globalThis` before it is left out. Undefined for anything else; a name of the program's own looks the same.
 */
export function globalOf(node: Node, parent: Node | undefined): string | undefined {
  if (node.type === "NewExpression" && isDate(node.callee) && node.arguments.length === 0) return "new Date()";
  if (node.type === "CallExpression" && isDate(node.callee)) return "Date()";
  if (node.type === "MemberExpression" && !node.computed && node.object.type === "Identifier") {
    const member = node.property.type === "Identifier" ? node.property.name : "";
    return node.object.name === "globalThis" ? member : `${node.object.name}.${member}`;
  }
  return node.type === "Identifier" && !isMerelyName(node, parent) ? node.name : undefined;
}

function isDate(node: Node): boolean {
  return node.type === "Identifier" && node.name === "Date";
}

/** Whether the identifier names a member or a key and not a value in scope. */
function isMerelyName(node: Node, parent: Node | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === "MemberExpression") return parent.property === node && !parent.computed;
  return "key" in parent && parent.key === node && !("shorthand" in parent && parent.shorthand);
}
