import { plain, type Text } from "./marked.ts";

const HALVES = /[\ud800-\udfff]/;

/** Characters of a string as Python counts them: code points. */
export function textLength(text: Text): number {
  const chars = plain(text);
  if (!HALVES.test(chars)) return chars.length;
  let count = 0;
  for (const _ of chars) count++;
  return count;
}

/** Where the character with this number begins, in UTF-16 units. */
export function unitAt(chars: string, character: number): number {
  if (!HALVES.test(chars)) return character;
  let unit = 0;
  for (let at = 0; at < character && unit < chars.length; at++) unit += chars.codePointAt(unit)! > 0xffff ? 2 : 1;
  return unit;
}
