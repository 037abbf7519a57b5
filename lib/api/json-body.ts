import { isUtf8 } from "node:buffer";
import { StatorError } from "#lib/base/errors";
import { restoreSeed } from "./exact-seed.ts";
import { findExcess, type JsonBounds } from "./json-bounds.ts";
import { findJsonError } from "./json-error.ts";
import { jsonText } from "./json-members.ts";
import { findLoneSurrogate } from "./lone-surrogate.ts";

/** Of a place that is told. */
const MOST_PATH = 200;

/** Throws INVALID_FIELD for a string that is no text. */
function checkText(body: unknown, json: string): void {
  const path = findLoneSurrogate(body, json);
  if (path === undefined) return;
  const detail = "it has half of a character, a lone surrogate: a text was cut in the middle of one";
  const place = path.length > MOST_PATH ? `${path.slice(0, MOST_PATH)}…` : path;
  throw new StatorError("INVALID_FIELD", { field: place || "The body", detail }, { param: place || undefined });
}

/** Parses a body. The error names the place and quotes nothing. Throws INVALID_UTF8, INVALID_JSON, INVALID_FIELD beyond the bounds and for half of a character. */
export function parseBody(bytes: Uint8Array, bounds?: JsonBounds): unknown {
  if (!isUtf8(bytes)) throw new StatorError("INVALID_UTF8");
  const excess = bounds && findExcess(bytes, bounds);
  if (excess) throw new StatorError("INVALID_FIELD", { field: "The body", detail: excess });
  const text = jsonText(bytes);
  try {
    const body: unknown = JSON.parse(text);
    checkText(body, text);
    restoreSeed(body, text);
    return body;
  } catch (cause) {
    if (cause instanceof StatorError) throw cause;
    const found = findJsonError(text);
    const detail = found
      ? `expected ${found.expected} at line ${found.line}, column ${found.column}`
      : "it is nested too deep";
    throw new StatorError("INVALID_JSON", { detail }, { cause });
  }
}
