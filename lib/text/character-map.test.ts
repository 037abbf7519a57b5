import { expect, test } from "vitest";
import { makeCharacterMap } from "../../test/support/character-map.ts";
import { characterMapFault } from "./character-map.ts";

const MAP = makeCharacterMap({ a: "b", ab: "c", é: "" });
const REPLACEMENTS_AT = MAP.length - "b\0c\0\0".length;
const OUTSIDE = "its character map points outside itself";
const OUTSIDE_REPLACEMENTS = "its character map points outside its replacements";
const CUT_SHORT = "its character map is cut short";

function changed(at: number, word: number): Uint8Array {
  const copy = Uint8Array.from(MAP);
  new DataView(copy.buffer).setUint32(at, word, true);
  return copy;
}

const entry = (at: number) => 4 + at * 4;

/** What a map makes of the beginning of a text, as the library follows it; throws where that leads outside the map. */
function follow(map: Uint8Array, text: Uint8Array): string | undefined {
  const view = new DataView(map.buffer, map.byteOffset, map.byteLength);
  const size = view.getUint32(0, true);
  const entries = new DataView(map.buffer, map.byteOffset + 4, size - (size % 4));
  const replacements = map.subarray(4 + size);
  const read = (at: number) => entries.getUint32(at * 4, true);
  const baseOf = (word: number) => (word >>> 10) << ((word & 0x200) >> 6);
  let found: string | undefined;
  if (entries.byteLength === 0) return undefined;
  let place = baseOf(read(0));
  for (const byte of text) {
    place ^= byte;
    if (byte === 0 || (read(place) & 0x800000ff) !== byte) break;
    const endsKey = (read(place) & 0x100) !== 0;
    place ^= baseOf(read(place));
    if (!endsKey) continue;
    const start = read(place) & 0x7fffffff;
    const end = replacements.indexOf(0, start);
    if (start >= replacements.length || end < 0) throw new RangeError("no such replacement");
    found = Buffer.from(replacements.subarray(start, end)).toString();
  }
  return found;
}

test("a map that is one", () => {
  expect(characterMapFault(MAP)).toBeUndefined();
  expect(["b", "a", "ax", "abc", "é"].map((text) => follow(MAP, Buffer.from(text)))).toEqual([
    ...[undefined, "b", "b", "c", ""],
  ]);
  expect(characterMapFault(Uint8Array.of(0, 0, 0, 0, 0))).toBeUndefined();
});

test("a map that ends early", () => {
  for (let end = 0; end <= REPLACEMENTS_AT; end++) expect(characterMapFault(MAP.subarray(0, end))).toBe(CUT_SHORT);
  for (const size of [MAP.length - 4, MAP.length, 0xffffffff])
    expect(characterMapFault(changed(0, size))).toBe(CUT_SHORT);
});

test("a map that points outside itself", () => {
  expect(characterMapFault(changed(entry(0), 0xfffffc00))).toBe(OUTSIDE);
  expect(characterMapFault(changed(entry(0), 0x500 << 10))).toBe(OUTSIDE);
  expect(characterMapFault(changed(entry(97), ((97 ^ 0x500) << 10) | 97))).toBe(OUTSIDE);
  expect(characterMapFault(changed(entry(97), (5 << 10) | 0x200 | 97))).toBe(OUTSIDE);
  expect(characterMapFault(changed(entry(97), (2 << 10) | 0x200 | 97))).toBeUndefined();
  // The last block has an entry less.
  expect(characterMapFault(changed(0, REPLACEMENTS_AT - 5))).toBe(OUTSIDE);
  expect(characterMapFault(changed(entry(0x100), 0x80000005))).toBe(OUTSIDE_REPLACEMENTS);
  expect(characterMapFault(changed(entry(0x100), 0xffffffff))).toBe(OUTSIDE_REPLACEMENTS);
  const endless = Uint8Array.from(MAP).fill(1, REPLACEMENTS_AT);
  expect(characterMapFault(endless)).toBe(OUTSIDE_REPLACEMENTS);
});

test("a map of any bytes is refused, or nobody is led outside it", () => {
  const texts = ["a", "ab", "é", "abab", "\u00e9\u00e9"].map((text) => Buffer.from(text));
  for (let byte = 1; byte < 256; byte++)
    texts.push(Buffer.of(byte, 97, byte), Buffer.of(97, byte), Buffer.of(97, 98, byte));
  let kept = 0;
  for (let at = 0; at < MAP.length; at++) {
    if (MAP[at] === 0 && at % 61 !== 0 && at > 8) continue;
    for (const byte of [0, 1, 0x61, 0x7f, 0xff]) {
      const map = Uint8Array.from(MAP);
      map[at] = byte;
      if (characterMapFault(map) !== undefined) continue;
      kept++;
      for (const text of texts) follow(map, text);
    }
  }
  expect(kept).toBeGreaterThan(100);
});
