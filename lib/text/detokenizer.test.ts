import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { TORTURE } from "../../test/fixtures/text/torture.ts";
import { createBytePairEncoder } from "./byte-pair.ts";
import { createPieceTexts, Detokenizer } from "./detokenizer.ts";
import { parseGgufHeader } from "./gguf.ts";
import type { PieceTable } from "./pieces.ts";
import { createTokenizer } from "./tokenizer.ts";
import { checkVocabulary, extractVocabulary } from "./vocabulary.ts";

const DEMO = readFileSync(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));
const scale = Number(process.env.TEST_SCALE ?? 1);
const vocabulary = checkVocabulary(extractVocabulary(parseGgufHeader(DEMO, "demo")));
const tokenizer = createTokenizer(vocabulary, { encoder: createBytePairEncoder(vocabulary) });
const texts = createPieceTexts(tokenizer.pieces);

/** A table with one token per given byte string. */
function tableOf(pieces: readonly (readonly number[])[]): PieceTable {
  const offsets = new Uint32Array(pieces.length + 1);
  for (const [at, piece] of pieces.entries()) offsets[at + 1] = (offsets[at] ?? 0) + piece.length;
  return { bytes: Uint8Array.from(pieces.flat()), offsets, attributes: new Uint8Array(pieces.length) };
}

test("every text comes back, token by token and at once", () => {
  for (const text of TORTURE) {
    const tokens = tokenizer.encode(text);
    const whole = new Detokenizer(texts);
    expect(whole.push(tokens) + whole.end()).toBe(text.toWellFormed());
    const single = new Detokenizer(texts);
    let out = "";
    for (const token of tokens) out += single.pushToken(token);
    expect(out + single.end()).toBe(text.toWellFormed());
    expect(single.length).toBe([...text.toWellFormed()].length);
  }
});

test("a character is given out when its last byte came, never before", () => {
  const detokenizer = new Detokenizer(createPieceTexts(tableOf([[0xf0], [0x9f], [0x98], [0x80], [0x61]])));
  expect([0, 1, 2].map((token) => detokenizer.pushToken(token))).toEqual(["", "", ""]);
  expect(detokenizer.holds).toBe(true);
  expect(detokenizer.length).toBe(0);
  expect(detokenizer.pushToken(3)).toBe("😀");
  expect(detokenizer.length).toBe(1);
  expect(detokenizer.pushToken(0)).toBe("");
  expect(detokenizer.pushToken(4)).toBe("\uFFFDa");
  expect(detokenizer.pushToken(0) + detokenizer.end()).toBe("\uFFFD");
  expect(detokenizer.end()).toBe("");
});

test("control tokens and foreign ids have no text, user-defined tokens have theirs", () => {
  const detokenizer = new Detokenizer(texts);
  expect(detokenizer.push(tokenizer.encode("a<|im_end|>b<think>", { parseSpecial: true }))).toBe("ab<think>");
  expect(detokenizer.pushToken(123_456_789)).toBe("");
});

test("any bytes in any pieces decode as a TextDecoder does", () => {
  const chance = new SeededChance(11n);
  const bytes = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0];
  const all = [...bytes, 0xbb, 0xbf, 0xf1, 0xf4, 0xf5, 0xff, 0xe4, 0xb8, 0xad];
  for (let round = 0; round < 3000 * scale; round++) {
    const pieces = Array.from({ length: pick(chance, 12) }, () =>
      Array.from({ length: pick(chance, 4) }, () => all[pick(chance, all.length)] ?? 0),
    );
    const detokenizer = new Detokenizer(createPieceTexts(tableOf(pieces)));
    const out = detokenizer.push(Uint32Array.from(pieces.keys())) + detokenizer.end();
    expect(out, `round ${round}`).toBe(
      new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(pieces.flat())),
    );
    expect(detokenizer.length).toBe([...out].length);
  }
});
