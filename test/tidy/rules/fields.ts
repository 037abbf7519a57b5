import { roomOf } from "../house.ts";
import { lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";

/** Rooms of which every field is told; a room joins when it has come so far. */
const TOLD: readonly string[] = [
  "lib/api",
  "lib/base",
  "lib/conform",
  "lib/discovery",
  "lib/dispatch",
  "lib/engines",
  "lib/host",
  "lib/kv",
  "lib/link",
  "lib/native",
  "lib/routing",
  "lib/rpc",
  "lib/serving",
  "lib/simulation",
  "lib/text",
  "lib/tokens",
  "lib/worker",
  "services/cli",
  "services/frontend",
  "services/worker",
];

/** Fields of exported interfaces have a doc comment, as exports do: units, range, owner. */
export const fields: Rule = ({ sources }) => {
  return sources
    .filter(({ path, isTest }) => TOLD.includes(roomOf(path) ?? "") && !isTest)
    .flatMap((source) =>
      source.program.body.flatMap((statement) => {
        const declaration = statement.type === "ExportNamedDeclaration" ? statement.declaration : undefined;
        if (declaration?.type !== "TSInterfaceDeclaration") return [];
        return declaration.body.body
          .filter((field) => !isKind(source, field) && !hasDocComment(source, field.start))
          .map(({ start, end }) => {
            const [field] = source.text.slice(start, end).split(/[(:?]/);
            return `${source.path}:${lineAt(source.text, start)}: ${declaration.id.name}, ${field} has no doc comment`;
          });
      }),
    );
};

/** The word by which a union tells its members apart says all there is to say. */
function isKind(source: Source, { start, end }: { readonly start: number; readonly end: number }): boolean {
  return /^(readonly )?(kind|is): "/.test(source.text.slice(start, end));
}

function hasDocComment(source: Source, start: number): boolean {
  return source.comments.some(({ type, value, end }) => {
    return type === "Block" && value.startsWith("*") && end <= start && source.text.slice(end, start).trim() === "";
  });
}
