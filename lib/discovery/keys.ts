import { StatorError } from "#lib/base/errors";

/** Longest key in characters: it must fit a file name, whatever the store. */
export const MAX_KEY_LENGTH = 240;

const SEGMENT = /^[a-z0-9._-]+$/;

/** Whether this is a key: segments of a-z, 0-9, '-', '_', '.', joined by '/'. A segment of dots alone is none. */
export function isKey(key: string): boolean {
  return (
    key.length <= MAX_KEY_LENGTH && key.split("/").every((segment) => SEGMENT.test(segment) && !/^\.+$/.test(segment))
  );
}

/** Throws INVALID_ARGUMENT unless this is a key. */
export function requireKey(key: string): void {
  if (isKey(key)) return;
  const shown = JSON.stringify(key.slice(0, 80));
  throw new StatorError("INVALID_ARGUMENT", {
    detail: `${shown} is not a discovery key: segments of a-z, 0-9, '-', '_', '.', joined by '/', at most ${MAX_KEY_LENGTH} characters`,
  });
}

/** Throws INVALID_ARGUMENT unless this is a key or empty. */
export function requirePrefix(prefix: string): void {
  if (prefix !== "") requireKey(prefix);
}

/** Whether a key is the prefix or below it. Whole segments: `workers/1` is not above `workers/10`. Empty is above all. */
export function isUnder(key: string, prefix: string): boolean {
  return prefix === "" || key === prefix || (key.startsWith(prefix) && key[prefix.length] === "/");
}

/**
 * Any text, such as a model name, as one segment: what a segment cannot hold becomes `_` and two hexadecimal digits per
 * byte of UTF-8, `_` itself included. Exact inverse of parseSegment.
 */
export function printSegment(text: string): string {
  let segment = "";
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte);
    segment += /[a-z0-9.-]/.test(char) ? char : `_${byte.toString(16).padStart(2, "0")}`;
  }
  return /^\.+$/.test(segment) ? segment.replaceAll(".", "_2e") : segment;
}

/** The text behind a segment; undefined when printSegment does not write it so. */
export function parseSegment(segment: string): string | undefined {
  const bytes: number[] = [];
  for (let at = 0; at < segment.length; at++) {
    if (segment[at] !== "_") {
      bytes.push(segment.charCodeAt(at));
      continue;
    }
    bytes.push(Number.parseInt(segment.slice(at + 1, at + 3), 16));
    at += 2;
  }
  const text = new TextDecoder().decode(Uint8Array.from(bytes));
  return printSegment(text) === segment ? text : undefined;
}
