import { REASONS, type Reason, reasonRow } from "#lib/base/errors";

const HEADER = `# Errors

Rendered from the table in \`lib/base/errors.ts\`. Every failure that leaves Stator has one of these reasons: over gRPC
as \`stator.common.v1.ErrorDetail\` in the status details, over HTTP as OpenAI's error body with its type and code.
Retry says when the same request may be tried again: never, after a pause at the same place (backoff), or at once
somewhere else (elsewhere). Match on the reason or the code, never on the text.

| reason | HTTP | gRPC | type | code | retry | whose fault | text |
|---|---|---|---|---|---|---|---|
`;

const STATUS_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** The error page: one line per row of the table of reasons, in the table's order. */
export function renderErrorPage(): string {
  return `${HEADER}${(Object.keys(REASONS) as Reason[]).map(renderRow).join("\n")}\n`;
}

function renderRow(reason: Reason): string {
  const row = reasonRow(reason);
  const text = row.text.replaceAll("|", "\\|").replaceAll(/\{(\w+)\}/g, "‹$1›");
  const status = STATUS_NAMES[row.grpc] ?? String(row.grpc);
  return `| \`${reason}\` | ${row.http} | ${status} | ${row.type} | ${row.code ?? "–"} | ${row.retry} | ${row.blame} | ${text} |`;
}
