import type { Node } from "oxc-parser";
import { lineAt } from "../source.ts";
import type { Rule } from "../tree.ts";

const CONTAINERS = ["Map", "Set", "WeakMap", "WeakSet", "Array"];

/** No mutable state in a module's own scope: no `let`, and no container that begins empty. */
export const state: Rule = ({ sources }) => {
  return sources
    .filter(({ path, isTest }) => /^(lib|services)\//.test(path) && !isTest)
    .flatMap((source) =>
      source.program.body.flatMap((statement) => {
        const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
        if (declaration?.type !== "VariableDeclaration") return [];
        const mutable =
          declaration.kind !== "const" || declaration.declarations.some(({ init }) => init !== null && isEmpty(init));
        return mutable ? [`${source.path}:${lineAt(source.text, statement.start)}: state in the module's scope`] : [];
      }),
    );
};

function isEmpty(init: Node): boolean {
  if (init.type === "ArrayExpression") return init.elements.length === 0;
  if (init.type === "ObjectExpression") return init.properties.length === 0;
  if (init.type !== "NewExpression" || init.callee.type !== "Identifier") return false;
  return CONTAINERS.includes(init.callee.name) && init.arguments.length === 0;
}
