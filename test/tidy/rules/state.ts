import type { BindingPattern, Node } from "oxc-parser";
import { lineAt } from "../source.ts";
import type { Rule } from "../tree.ts";

const CONTAINERS = ["Map", "Set", "WeakMap", "WeakSet", "Array"];

/** Types that say of an empty value that it stays so: `readonly …`, `Readonly<…>`, or an interface of the room. */
const CONSTANT = /^:\s*(readonly\b|Readonly\w*<|[A-Z]\w*$)/;

/** No mutable state in a module's own scope: no `let`, and no container that begins empty. */
export const state: Rule = ({ sources }) => {
  return sources
    .filter(({ path, isTest }) => /^(lib|services)\//.test(path) && !isTest)
    .flatMap((source) =>
      source.program.body.flatMap((statement) => {
        const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
        if (declaration?.type !== "VariableDeclaration") return [];
        const mutable =
          declaration.kind !== "const" ||
          declaration.declarations.some(({ id, init }) => {
            return init !== null && isEmpty(init) && !CONSTANT.test(annotation(source.text, id));
          });
        return mutable ? [`${source.path}:${lineAt(source.text, statement.start)}: state in the module's scope`] : [];
      }),
    );
};

function annotation(text: string, { typeAnnotation }: BindingPattern): string {
  return typeAnnotation == null ? "" : text.slice(typeAnnotation.start, typeAnnotation.end);
}

function isEmpty(init: Node): boolean {
  if (init.type === "ArrayExpression") return init.elements.length === 0;
  if (init.type === "ObjectExpression") return init.properties.length === 0;
  if (init.type !== "NewExpression" || init.callee.type !== "Identifier") return false;
  return CONTAINERS.includes(init.callee.name) && init.arguments.length === 0;
}
