import { globSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Instrument, Instruments } from "#lib/host/metrics";
import { root } from "../run-tool.ts";

const HEADER = `# Metrics

Rendered from the tables of instruments in the code. Every process serves its own at \`/metrics\` in Prometheus text; the
frontend on its HTTP port, workers and hubs on \`metrics.port\`. Labels are closed sets.
`;

/**
 * The page of all instruments, one section per room. Tables are found by their files: a room declares its instruments in
 * \`metrics.ts\` or \`instruments.ts\`, one exported table for each kind of process that feeds it.
 */
export async function renderMetricsPage(): Promise<string> {
  const files = globSync("{lib,services}/**/{metrics,instruments}.ts", { cwd: root }).sort();
  const sections = files.filter((file) => file !== "lib/host/metrics.ts").map((file) => renderRoom(file));
  return [HEADER, ...(await Promise.all(sections))].join("\n");
}

async function renderRoom(file: string): Promise<string> {
  const module = (await import(pathToFileURL(path.join(root, file)).href)) as Record<string, unknown>;
  const rows = Object.values(module)
    .filter((value) => isTable(value))
    .flatMap((table) => Object.entries(table))
    .map(([name, { kind, labels = [], help }]) => `| \`${name}\` | ${kind} | ${labels.join(", ")} | ${help} |`);
  const title = `## ${path.posix.dirname(file)}\n`;
  return [title, "| name | kind | labels | what |", "|---|---|---|---|", ...rows, ""].join("\n");
}

function isTable(value: unknown): value is Instruments {
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).every(
    (row: Partial<Instrument>) => typeof row === "object" && "kind" in row && "help" in row,
  );
}
