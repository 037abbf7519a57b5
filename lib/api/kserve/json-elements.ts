import { stringEnd } from "../json-bounds.ts";
import { jsonText } from "../json-members.ts";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
/** Lower-case letters differ from capitals in this bit alone. */
const SMALL = 0x20;
const EXPONENT = 0x65;

/** Digits of a whole number that a double holds, whatever they are. */
const SAFE_DIGITS = 15;

/** A number of JSON text and where it ends. One is used for all of a list. */
export interface FoundNumber {
  /** Behind its last character; undefined: there is no number. */
  end: number | undefined;
  /** A bigint where a double would round the whole number that is written. */
  value: number | bigint;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= ZERO + 9;
}

/** Reads the number that begins at `at`, by the grammar of JSON, into `found`. */
export function findNumber(bytes: Uint8Array, at: number, found: FoundNumber): void {
  found.end = undefined;
  const isNegative = bytes[at] === MINUS;
  const first = isNegative ? at + 1 : at;
  if (!isDigit(bytes[first])) return;
  let end = first;
  let whole = 0;
  for (; isDigit(bytes[end]); end++) whole = whole * 10 + (bytes[end]! - ZERO);
  if (bytes[first] === ZERO && end > first + 1) return;
  const digits = end - first;
  const fraction = fractionEnd(bytes, end);
  if (fraction === undefined) return;
  found.end = fraction;
  if (fraction === end && digits <= SAFE_DIGITS) found.value = isNegative ? -whole : whole;
  else {
    const text = jsonText(bytes.subarray(at, fraction));
    const value = Number(text);
    // More digits than 64 bits have are no whole number of a tensor.
    found.value = fraction === end && digits <= 20 && !Number.isSafeInteger(value) ? BigInt(text) : value;
  }
}

/** Behind the fraction and the exponent that may follow the digits of a number; undefined where they are cut short. */
function fractionEnd(bytes: Uint8Array, from: number): number | undefined {
  let at = from;
  if (bytes[at] === DOT) {
    if (!isDigit(bytes[++at])) return undefined;
    while (isDigit(bytes[at])) at++;
  }
  if ((bytes[at]! | SMALL) !== EXPONENT) return at;
  at++;
  if (bytes[at] === PLUS || bytes[at] === MINUS) at++;
  if (!isDigit(bytes[at])) return undefined;
  while (isDigit(bytes[at])) at++;
  return at;
}

/** A string of JSON text. */
export interface FoundString {
  /** Behind its closing quote. */
  readonly end: number;
  /** What it says, as UTF-8; borrowed where it has no escapes. */
  readonly text: Uint8Array;
}

/** Reads the string whose quote is at `at`; undefined where there is none, or half of a character in it. The bytes are UTF-8. */
export function findString(bytes: Uint8Array, at: number): FoundString | undefined {
  if (bytes[at] !== QUOTE) return undefined;
  const close = stringEnd(bytes, at + 1);
  if (close >= bytes.length) return undefined;
  const inner = bytes.subarray(at + 1, close);
  let isEscaped = false;
  for (const byte of inner) {
    if (byte < 0x20) return undefined;
    isEscaped ||= byte === BACKSLASH;
  }
  const end = close + 1;
  if (!isEscaped) return { end, text: inner };
  const text = parsed(bytes.subarray(at, end));
  return text?.isWellFormed() ? { end, text: Buffer.from(text) } : undefined;
}

function parsed(json: Uint8Array): string | undefined {
  try {
    return JSON.parse(jsonText(json)) as string;
  } catch {
    return undefined;
  }
}
