import { stringEnd } from "./json-bounds.ts";

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
/** Opening and closing brackets of lists and objects differ from each other in this bit alone. */
const OBJECT = 0x20;

/**
 * The members of an object as its JSON text has them: the text of a value tells what parsing loses, the digits of numbers
 * and the order of keys. Of those with one name the last counts, as for JSON.parse. `bytes` are valid JSON and are
 * borrowed; what is no object has no members. Costs a nanosecond or two per byte.
 */
export function jsonMembers(bytes: Uint8Array): Map<string, Uint8Array> {
  const members = new Map<string, Uint8Array>();
  let open = 0;
  let name = "";
  let from: number | undefined;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      const start = at;
      at = stringEnd(bytes, at + 1);
      if (open === 1 && from === undefined) name = JSON.parse(jsonText(bytes.subarray(start, at + 1))) as string;
    } else if ((byte | OBJECT) === 0x7b) open++;
    else if (byte === COLON && open === 1) from = at + 1;
    else if ((byte | OBJECT) === 0x7d ? --open === 0 : byte === COMMA && open === 1) {
      if (from !== undefined) members.set(name, bytes.subarray(from, at));
      from = undefined;
    }
  }
  return members;
}

/** JSON text from its bytes. */
export function jsonText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
}
