import type { Node } from "oxc-parser";
import { isPure } from "../house.ts";
import { type Import, lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";
import { walk } from "../walk.ts";

const PACKAGES = ["@bufbuild/protobuf", "@huggingface/jinja", "@huggingface/tokenizers"];
const NODE_MODULES = ["node:assert", "node:assert/strict", "node:buffer"];
const CRYPTO_NAMES = ["createHash", "hash", "timingSafeEqual"];

const IMPURE_NAMES = new Set([
  "Promise",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "process",
  "console",
  "fetch",
  "performance",
  "globalThis",
]);
const IMPURE_MEMBERS = new Set(["Date.now", "Math.random", "crypto.randomUUID", "crypto.getRandomValues"]);

/** Pure folders hold state machines: no I/O, no waiting, no clock, no chance. */
export const purity: Rule = ({ sources }) => {
  return sources
    .filter((source) => isPure(source.path))
    .flatMap((source) => [...source.imports.flatMap((one) => checkImport(source, one)), ...checkCode(source)]);
};

function checkImport(source: Source, { request, file, names, typeOnly }: Import): string[] {
  if (typeOnly) return [];
  const allowed =
    file !== undefined
      ? isPure(file) || file.startsWith("gen/")
      : NODE_MODULES.includes(request) ||
        PACKAGES.some((name) => request === name || request.startsWith(`${name}/`)) ||
        (request === "node:crypto" && names.every((name) => CRYPTO_NAMES.includes(name)));
  return allowed ? [] : [`${source.path}: a pure folder imports ${request}`];
}

function checkCode(source: Source): string[] {
  const found: string[] = [];
  walk(source.program, (node, parent) => {
    const what = impurity(node, parent);
    if (what !== undefined) found.push(`${source.path}:${lineAt(source.text, node.start)}: a pure folder uses ${what}`);
  });
  return found;
}

function impurity(node: Node, parent: Node | undefined): string | undefined {
  if (node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node.await)) return "await";
  if ("async" in node && node.async) return "async";
  if (node.type === "NewExpression" && isNamed(node.callee, "Date") && node.arguments.length === 0) return "new Date()";
  if (node.type === "MemberExpression" && !node.computed && node.object.type === "Identifier") {
    const name = `${node.object.name}.${node.property.type === "Identifier" ? node.property.name : ""}`;
    if (IMPURE_MEMBERS.has(name)) return name;
  }
  if (node.type !== "Identifier" || !IMPURE_NAMES.has(node.name) || isMerelyName(node, parent)) return undefined;
  return node.name;
}

function isNamed(node: Node, name: string): boolean {
  return node.type === "Identifier" && node.name === name;
}

/** Whether the identifier names a member or a key and not a value in scope. */
function isMerelyName(node: Node, parent: Node | undefined): boolean {
  if (parent === undefined) return false;
  if (parent.type === "MemberExpression") return parent.property === node && !parent.computed;
  return "key" in parent && parent.key === node && !("shorthand" in parent && parent.shorthand);
}
