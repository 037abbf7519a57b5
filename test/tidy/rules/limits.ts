import type { Node, ObjectExpression } from "oxc-parser";
import { roomOf } from "../house.ts";
import { lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";
import { walk } from "../walk.ts";

/** Names of types that are tables of bounds. */
const TABLE = /(Limits?|Bounds)$/;

/** One bound, and what it is when nobody says otherwise. */
interface Bound {
  readonly name: string;
  readonly source: Source;
  readonly at: number;
  readonly initial: number | undefined;
}

/**
 * Every bound in a table of limits has a test of its room that sets it, below what it is by default where that can be
 * seen. Bounds are the fields of an interface called `…Limits` or `…Bounds`; what an API promises and nobody sets is none.
 */
export const limits: Rule = ({ sources }) => {
  const rooms = sources.filter(({ path }) => /^(lib|services)\//.test(path));
  const settings = new Map<string, number[]>();
  for (const source of rooms.filter(({ isTest }) => isTest)) {
    for (const [name, value] of settingsIn(source)) {
      const key = `${roomOf(source.path)} ${name}`;
      settings.set(key, [...(settings.get(key) ?? []), value]);
    }
  }
  return rooms
    .filter(({ isTest }) => !isTest)
    .flatMap((source) => boundsIn(source))
    .filter(({ name, source, initial }) => {
      const values = settings.get(`${roomOf(source.path)} ${name}`) ?? [];
      return !values.some((value) => Number.isNaN(value) || initial === undefined || value < initial);
    })
    .map(({ name, source, at }) => `${source.path}:${lineAt(source.text, at)}: no test of the room sets ${name} small`);
};

function boundsIn(source: Source): Bound[] {
  const fields: { readonly name: string; readonly at: number }[] = [];
  const initials = new Map<string, number>();
  for (const statement of source.program.body) {
    const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
    if (declaration?.type === "TSInterfaceDeclaration" && TABLE.test(declaration.id.name)) {
      for (const field of declaration.body.body) {
        if (field.type !== "TSPropertySignature" || field.key.type !== "Identifier") continue;
        if (!isText(field.typeAnnotation)) fields.push({ name: field.key.name, at: field.start });
      }
    }
    if (declaration?.type !== "VariableDeclaration") continue;
    for (const { id, init } of declaration.declarations) {
      const table = plain(init);
      if (table?.type !== "ObjectExpression" || id.type !== "Identifier") continue;
      const type = id.typeAnnotation ? source.text.slice(id.typeAnnotation.start, id.typeAnnotation.end) : "";
      if (TABLE.test(type)) for (const [name, value] of fieldsOf(table)) initials.set(name, numberOf(value));
    }
  }
  return fields.map(({ name, at }) => ({ name, source, at, initial: initials.get(name) }));
}

/** Names such as the model's belong to a table of bounds and are none. */
function isText(annotation: Node | null | undefined): boolean {
  return annotation?.type === "TSTypeAnnotation" && annotation.typeAnnotation.type === "TSStringKeyword";
}

/** What the objects of a test set, by name; NaN for what is computed. */
function settingsIn(source: Source): [string, number][] {
  const found: [string, number][] = [];
  walk(source.program, (node) => {
    if (node.type !== "ObjectExpression") return;
    for (const [name, value] of fieldsOf(node)) found.push([name, numberOf(value)]);
  });
  return found;
}

function fieldsOf(object: ObjectExpression): [string, Node][] {
  return object.properties.flatMap((property): [string, Node][] => {
    if (property.type !== "Property" || property.key.type !== "Identifier" || property.computed) return [];
    return [[property.key.name, property.value]];
  });
}

function plain(node: Node | null): Node | null {
  return node?.type === "TSAsExpression" || node?.type === "TSSatisfiesExpression" ? plain(node.expression) : node;
}

/** The value of a number as written, such as 64 * 1024; NaN for anything else. */
function numberOf(node: Node): number {
  if (node.type === "Literal") return typeof node.value === "number" ? node.value : Number.NaN;
  if (node.type !== "BinaryExpression") return Number.NaN;
  const [left, right] = [numberOf(node.left), numberOf(node.right)];
  switch (node.operator) {
    case "*":
      return left * right;
    case "<<":
      return left * 2 ** right;
    default:
      return Number.NaN;
  }
}
