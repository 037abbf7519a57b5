import { StatorError } from "#lib/base/errors";

/** Formats of traces that are read: rows of the Mooncake traces, each a whole prompt, or of a session only what is new. */
export const TRACE_FORMATS = ["mooncake", "mooncake-delta"] as const;

/** One of {@link TRACE_FORMATS}. */
export type TraceFormat = (typeof TRACE_FORMATS)[number];

/** Formats that are known and not read, with the fields of a row that give them away. */
const FOREIGN = {
  agentic_mooncake: ["wait_for", "branches", "prefix_reset", "tool_wait_ms"],
  bailian: ["chat_id", "parent_chat_id"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

const AZURE = /^"?timestamp"?\s*,/i;

/** Throws INVALID_ARGUMENT for a row that is of a format that is not read here. */
export function checkFields(row: object, place: string): void {
  for (const [format, fields] of Object.entries(FOREIGN)) {
    const field = fields.find((name) => Object.hasOwn(row, name));
    if (field) throw refused(`${place} has the field ${field}: the trace format ${format} is not read here`);
  }
}

/** Throws INVALID_ARGUMENT when the first line of a file says that it is of a format that is not read here. */
export function checkFirstLine(line: string): void {
  if (AZURE.test(line)) throw refused("The trace begins as a CSV: the trace format Azure CSV is not read here");
}

function refused(detail: string): StatorError {
  const known = TRACE_FORMATS.join(" and ");
  return new StatorError("INVALID_ARGUMENT", { detail: `${detail}; what is read is ${known}` });
}
