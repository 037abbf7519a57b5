import { type Difference, weigh } from "./difference.ts";
import type { Section } from "./kinds/kind.ts";
import { kindOf } from "./kinds/kinds.ts";
import { AUDIENCES } from "./verdict.ts";

const SECTIONS: readonly Section[] = ["added", "changed", "deprecated", "removed"];

/** Everything that is different as a changelog in Markdown: packages by name, what was added first. Breaks are marked. */
export function printChangelog(differences: readonly Difference[]): string {
  if (differences.length === 0) return "Nothing is different.";
  const packages = Map.groupBy(differences, (one) => one.package);
  const names = [...packages.keys()].sort();
  return names.map((name) => `## ${name || "(no package)"}\n\n${printPackage(packages.get(name)!)}`).join("\n\n");
}

function printPackage(differences: readonly Difference[]): string {
  const sections = Map.groupBy(differences, ({ kind }) => kindOf(kind).section);
  return SECTIONS.flatMap((section) => {
    const lines = sections.get(section)?.map(printLine);
    return lines ? [`### ${section[0]!.toUpperCase()}${section.slice(1)}\n\n${lines.join("\n")}`] : [];
  }).join("\n\n");
}

function printLine(difference: Difference): string {
  const isBreak = ["breaks", "refused"].includes(weigh(difference, AUDIENCES));
  return `- ${isBreak ? "**Breaking:** " : ""}${difference.what}`;
}

/** The same for programs. */
export function changelogAsJson(differences: readonly Difference[]): object {
  return differences.map((difference) => ({
    section: kindOf(difference.kind).section,
    breaking: ["breaks", "refused"].includes(weigh(difference, AUDIENCES)),
    package: difference.package,
    element: difference.element,
    kind: difference.kind,
    what: difference.what,
  }));
}
