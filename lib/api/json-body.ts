import { isUtf8 } from "node:buffer";
import { StatorError } from "#lib/base/errors";
import { restoreSeed } from "./exact-seed.ts";
import { findExcess, type JsonBounds } from "./json-bounds.ts";
import { findJsonError } from "./json-error.ts";
import { jsonText } from "./json-members.ts";

/** Parses a body. The error names the place and quotes nothing. Throws INVALID_UTF8, INVALID_JSON, INVALID_FIELD beyond the bounds. */
export function parseBody(bytes: Uint8Array, bounds?: JsonBounds): unknown {
  if (!isUtf8(bytes)) throw new StatorError("INVALID_UTF8");
  const excess = bounds && findExcess(bytes, bounds);
  if (excess) throw new StatorError("INVALID_FIELD", { field: "The body", detail: excess });
  const text = jsonText(bytes);
  try {
    const body: unknown = JSON.parse(text);
    restoreSeed(body, text);
    return body;
  } catch (cause) {
    const found = findJsonError(text);
    const detail = found
      ? `expected ${found.expected} at line ${found.line}, column ${found.column}`
      : "it is nested too deep";
    throw new StatorError("INVALID_JSON", { detail }, { cause });
  }
}
