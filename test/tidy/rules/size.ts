import type { Node } from "oxc-parser";
import { lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";
import { walk } from "../walk.ts";

const FILE_LINES = 500;
const FUNCTION_LINES = 70;

/** Files of at most 500 lines, functions of at most 70. A test's describe block is not held to the second. */
export const size: Rule = ({ sources }) =>
  sources.flatMap((source) => [...checkFile(source), ...checkFunctions(source)]);

function checkFile({ path, text }: Source): string[] {
  const lines = lineAt(text, text.length - 1);
  return lines > FILE_LINES ? [`${path}: ${lines} lines`] : [];
}

function checkFunctions(source: Source): string[] {
  if (source.isTest) return [];
  const found: string[] = [];
  walk(source.program, (node) => {
    if (!isFunction(node)) return;
    const first = lineAt(source.text, node.start);
    const lines = lineAt(source.text, node.end) - first + 1;
    if (lines > FUNCTION_LINES) found.push(`${source.path}:${first}: a function of ${lines} lines`);
  });
  return found;
}

function isFunction(node: Node): boolean {
  return (
    node.type === "FunctionDeclaration" || node.type === "FunctionExpression" || node.type === "ArrowFunctionExpression"
  );
}
