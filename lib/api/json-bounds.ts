/** What a JSON text may hold at most. */
export interface JsonBounds {
  /** Brackets that are open at one place. */
  readonly depth: number;
  /** Members of objects and items of lists, in all. */
  readonly values: number;
  /** Members of objects, in all: each costs many times what an item does. */
  readonly members: number;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
/** Opening and closing brackets of lists and objects differ from each other in this bit alone. */
const OBJECT = 0x20;

/**
 * The bound that the bytes of a JSON text break, to be read after its name; undefined when they keep to all. Costs a
 * nanosecond or two per byte and no memory: it comes before the parser, whose costs these bounds are about. Whether the
 * text is JSON at all is not looked at.
 */
export function findExcess(bytes: Uint8Array, { depth, values, members }: JsonBounds): string | undefined {
  let open = 0;
  let count = 0;
  let named = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) at = stringEnd(bytes, at + 1);
    else if (byte === COMMA) count++;
    else if (byte === COLON) named++;
    else if ((byte | OBJECT) === 0x7b) {
      count++;
      if (++open > depth) return `is nested deeper than ${depth} levels`;
    } else if ((byte | OBJECT) === 0x7d) open--;
    if (count > values) return `has more than ${values.toLocaleString("en-US")} values`;
    if (named > members) return `has more than ${members.toLocaleString("en-US")} members`;
  }
  return undefined;
}

/** Bytes in which the end of a string is looked for here, before native code is called to find the next quote. */
const NEAR_BYTES = 64;

/** Where the string ends that goes on at `from`: its closing quote, or the end of the bytes. */
export function stringEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length) {
    const near = Math.min(bytes.length, at + NEAR_BYTES);
    while (at < near && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
    if (at < near) return at;
    const quote = Buffer.prototype.indexOf.call(bytes, QUOTE, at);
    if (quote < 0) return bytes.length;
    let escapes = quote;
    while (escapes > at && bytes[escapes - 1] === BACKSLASH) escapes--;
    if ((quote - escapes) % 2 === 0) return quote;
    at = quote + 1;
  }
  return at;
}
