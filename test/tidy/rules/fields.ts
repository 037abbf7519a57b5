import { roomOf } from "../house.ts";
import { lineAt, type Source } from "../source.ts";
import type { Rule } from "../tree.ts";

/** Fields of exported interfaces have a doc comment, as exports do: units, range, owner. */
export const fields: Rule = ({ sources }) => {
  return sources
    .filter(({ path, isTest }) => roomOf(path) !== undefined && !isTest)
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
