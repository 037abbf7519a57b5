import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { CALLER_HANDLE, CALLER_LINK, type Row, WORKER_HANDLE, WORKER_LINK } from "#lib/link/tables";
import { root } from "../../../tools/run-tool.ts";

const PAGE = path.join(root, "docs/link.md");
const TABLES = { CALLER_LINK, CALLER_HANDLE, WORKER_LINK, WORKER_HANDLE };

type Rows = Readonly<Record<string, Readonly<Record<string, Row<string, string>>>>>;

/** Events down, states across. */
function renderTable(table: Rows): string {
  const states = Object.keys(table);
  const events = Object.keys(Object.values(table)[0] ?? {});
  const cells = (event: string) => states.map((state) => renderCell(table[state]?.[event]));
  return [
    `| | ${states.join(" | ")} |`,
    `|---|${states.map(() => "---|").join("")}`,
    ...events.map((event) => `| **${event}** | ${cells(event).join(" | ")} |`),
  ].join("\n");
}

function renderCell(row: Row<string, string> | undefined): string {
  if (!row) throw new Error("A table has a hole");
  if (row.action === "ignore" && row.next.length === 0) return "·";
  return row.next.length > 0 ? `${row.action} → ${row.next.join(", ")}` : row.action;
}

it("docs/link.md shows the tables of the code; UPDATE_PAGES=1 writes them", () => {
  const page = readFileSync(PAGE, "utf8");
  const seen: string[] = [];
  const rendered = page.replaceAll(/<!-- table (\w+) -->\n[\s\S]*?<!-- end -->/g, (_, name: keyof typeof TABLES) => {
    seen.push(name);
    return `<!-- table ${name} -->\n${renderTable(TABLES[name])}\n<!-- end -->`;
  });
  expect(seen).toEqual(Object.keys(TABLES));
  if (process.env.UPDATE_PAGES) writeFileSync(PAGE, rendered);
  else expect(page).toBe(rendered);
});
