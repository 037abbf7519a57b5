import { describeShape, type Field, type Fields, type Shape } from "./field.ts";
import type { ApiRoute } from "./routes.ts";

const USES: Readonly<Record<Field["use"], string>> = {
  honoured: "honoured",
  ours: "extension",
  ignored: "no effect",
  refused: "refused",
};

/** The reference page of every request field of these routes, in Markdown. */
export function printFieldsPage(routes: readonly ApiRoute[]): string {
  const parts = [
    "# Request fields",
    "",
    "Made from the field tables in `lib/api`; do not edit. A field that is not here is a 400 that names it and",
    "the nearest known name; inside messages it has no effect. `null` counts as absent. Fields without effect are named",
    "in the header `x-stator-ignored`. All mistakes of a request are told at once.",
  ];
  for (const route of routes) {
    if (!route.fields || route.sameAs) continue;
    parts.push("", `## ${route.method.toUpperCase()} ${route.path}`, "", route.about, "");
    const alike = routes.filter(({ sameAs }) => sameAs === route).map(({ path }) => `\`${path}\``);
    const paths = [...(route.also ?? []).map((path) => `\`${path}\``), ...alike];
    if (paths.length > 0) parts.push(`The same at ${paths.join(", ")}.`, "");
    parts.push("| field | value | use | what it does |", "|---|---|---|---|", ...rows(route.fields, ""));
    if (route.rules.length > 0) parts.push("", ...route.rules.map((rule) => `- ${rule.about}`));
  }
  return `${parts.join("\n")}\n`;
}

function rows(fields: Fields, under: string): string[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const path = under ? `${under}.${name}` : name;
    const about = field.why ? `${field.about} ${sentence(field)}` : field.about;
    const value = field.use === "refused" ? "" : describeShape(field.shape);
    const row = `| \`${path}\`${field.required ? " (required)" : ""} | ${cell(value)} | ${USES[field.use]} | ${cell(about)} |`;
    return field.use === "refused" ? [row] : [row, ...inner(field.shape, path)];
  });
}

function sentence(field: Field): string {
  const start = field.use === "refused" ? "Refused: " : "No effect: ";
  return `${start}${field.why}.`;
}

/** Rows of the fields inside a shape; a case of a tagged object is written as path(case). */
function inner(shape: Shape, path: string): string[] {
  switch (shape.is) {
    case "object":
      return rows(shape.fields, path);
    case "list":
      return inner(shape.of, `${path}[]`);
    case "union":
      return shape.of.flatMap((one) => inner(one, path));
    case "tagged": {
      const refused = Object.entries(shape.refusals).map(
        ([tag, why]) => `| \`${path}(${tag})\` |  | refused | ${cell(`Refused: ${why}.`)} |`,
      );
      return [...Object.entries(shape.cases).flatMap(([tag, fields]) => rows(fields, `${path}(${tag})`)), ...refused];
    }
    default:
      return [];
  }
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
