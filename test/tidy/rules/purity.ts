import type { Node } from "oxc-parser";
import { globalOf } from "../globals.ts";
import { isPure } from "../house.ts";
import { type Import, lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";
import { walk } from "../walk.ts";

const PACKAGES = ["@bufbuild/protobuf", "@huggingface/tokenizers"];
const NODE_MODULES = ["node:assert", "node:assert/strict", "node:buffer"];
const CRYPTO_NAMES = ["createHash", "hash", "timingSafeEqual"];

const IMPURE_NAMES = new Set(["Promise", "process", "console", "fetch", "globalThis"]);

/** Pure folders hold state machines: no I/O and no waiting. The rule of the clock holds them to the rest. */
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
  const taken = globalOf(node, parent);
  return taken !== undefined && IMPURE_NAMES.has(taken) ? taken : undefined;
}
