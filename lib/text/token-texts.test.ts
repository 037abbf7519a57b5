import { expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { ggufSpans, parseGgufHeader } from "./gguf.ts";
import { stringsField, writeGguf } from "./gguf-write.ts";
import { TokenTexts } from "./token-texts.ts";

const LETTERS = ["a", "b", "Ġ", "é", "😀"];
const scale = Number(process.env.TEST_SCALE ?? 1);

function textsOf(tokens: readonly (string | Uint8Array)[]): TokenTexts {
  const header = parseGgufHeader(writeGguf([stringsField("tokens", tokens)]), "m");
  return new TokenTexts(header.bytes, ggufSpans(header, "tokens")!);
}

it("gives texts and finds them, whatever their order", () => {
  const tokens = ["b", "a", "ab", "é", "", "z\u0000y", "\ufeffx"];
  const texts = textsOf(tokens);
  expect(texts.size).toBe(7);
  expect(tokens.map((_, id) => texts.text(id))).toEqual(["b", "a", "ab", "é", "[EMPTY_4]", "z", "\ufeffx"]);
  for (let id = 0; id < tokens.length; id++) expect(texts.find(texts.text(id))).toBe(id);
  expect(["", "c", "abc", "[EMPTY_0]", "y"].map((text) => texts.find(text))).toEqual(new Array(5).fill(undefined));
  expect([texts.double, [...texts.bytesOf(9)]]).toEqual([undefined, []]);
});

it("names the first token that an earlier one equals in its bytes, and in nothing else", () => {
  expect(textsOf(["x", "a", "b", "b", "a"]).double).toBe(3);
  expect(textsOf(["a", "a\u0000b"]).double).toBe(1);
  expect(textsOf(["", "[EMPTY_0]"]).double).toBe(1);
  // Both read U+FFFD.
  expect(textsOf([Uint8Array.of(0xff), Uint8Array.of(0xfe)]).double).toBeUndefined();
});

it("sorts texts that begin alike, and finds those that are many times the same", () => {
  const alike = Array.from({ length: 300 }, (_, at) => `${"same".repeat(at % 7)}${String(at).padStart(4, "0")}`);
  const texts = textsOf(alike);
  expect(texts.double).toBeUndefined();
  for (const [id, text] of alike.entries()) expect(texts.find(text)).toBe(id);
  expect(textsOf([...alike, ...new Array(100).fill("sames")]).double).toBe(301);
  expect(textsOf(new Array(100).fill("long enough to go on")).double).toBe(1);
});

it("agrees with a map of strings", () => {
  const chance = new SeededChance(7n);
  for (let round = 0; round < 20 * scale; round++) {
    const letter = () => LETTERS[pick(chance, LETTERS.length)];
    const word = () => Array.from({ length: pick(chance, 4) + 1 }, letter).join("");
    const tokens = Array.from({ length: pick(chance, 60) + 1 }, word);
    const map = new Map<string, number>();
    const double = tokens.findIndex((token, id) => map.has(token) || !map.set(token, id));
    const texts = textsOf(tokens);
    expect(texts.double).toBe(double < 0 ? undefined : double);
    if (double < 0) for (const [text, id] of map) expect(texts.find(text)).toBe(id);
  }
});
