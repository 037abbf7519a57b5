import type { Kind } from "#lib/contract/kinds/kind";
import { KINDS } from "#lib/contract/kinds/kinds";
import type { Effect } from "#lib/contract/verdict";

const HEADER = `# Changes of contracts

Rendered from the tables in \`lib/contract/kinds\`: every kind of difference that \`stator contract check\` knows. Of data the
first two columns tell what old readers make of new bytes and new readers of old ones: old servers read requests, old callers
answers. Of calls they are new callers on old servers, and old callers on new servers. Rules are buf's that refuse it too. What
the words mean, and who counts: [the policy](../../docs/contract-policy.md).
`;

/** The page of kinds: what each says, whom it breaks, what to do. */
export function renderContractChangesPage(): string {
  const rows = Object.entries(KINDS).map(([name, kind]) => renderKind(name, kind));
  return `${HEADER}\n${rows.join("\n")}`;
}

function renderKind(name: string, { what, of, forward, backward, json, stubs, todo, rules }: Kind): string {
  const sides = of === "data" ? ["old readers", "new readers"] : ["old servers", "new servers"];
  const effects = [forward, backward, json, stubs].map(cell);
  return [
    `## ${name}`,
    "",
    what,
    "",
    `| ${[...sides, "JSON users", "stub users"].join(" | ")} |`,
    "|---|---|---|---|",
    `| ${effects.join(" | ")} |`,
    "",
    ...(todo === "" ? [] : [todo, ""]),
    ...(rules.length === 0 ? [] : [`buf: ${[...new Set(rules)].map((rule) => `\`${rule}\``).join(", ")}`, ""]),
  ].join("\n");
}

function cell([verdict, why]: Effect): string {
  const word = { breaks: "**break**", careful: "care", safe: "fine" }[verdict];
  return why === "" ? word : `${word}: ${why}`;
}
