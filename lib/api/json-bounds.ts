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

/** Where the string ends that goes on at `from`: its closing quote. */
export function stringEnd(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
