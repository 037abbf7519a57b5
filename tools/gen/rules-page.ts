import type { RuleRow } from "#lib/routing/rules/rule";
import { RULE_NAMES, RULES } from "#lib/routing/rules/table";

const HEADER = `# Routing rules

Rendered from the table in \`lib/routing/rules/table.ts\`. \`--router-mode kv\` goes by the rule that \`--router-rule\` names. A
rule gives every worker that may take a prompt a cost, and the least cost is chosen; equal costs are drawn unless the rule
says otherwise. What a request prefers multiplies costs by e^(−tanh w), w the sum of the weights of the taints that a worker
has. A pin goes before any rule, and so does a session's worker where \`--router-session-affinity\` says so. How to choose
one, and how to read why: [routing](../../docs/routing.md).

| rule | costs in | lives on | from |
|---|---|---|---|
`;

/** The page of the rules: one line each, then a section each, in the order of the table. */
export function renderRulesPage(): string {
  const rows: [string, RuleRow][] = RULE_NAMES.map((name) => [name, RULES[name]]);
  const lines = rows.map(([name, { unit, needs, origin }]) => {
    return `| [\`${name}\`](#${name}) | ${unit} | ${["loads", ...needs].join(", ")} | ${origin} |`;
  });
  const sections = rows.map(([name, { formula, use, constants }]) => {
    return `## ${name}\n\n${use}\n\n- Chooses by: ${formula}.\n- Constants: ${constants}.\n`;
  });
  return `${HEADER}${lines.join("\n")}\n\n${sections.join("\n")}`;
}
