import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { randomTexts, specialTorture, TORTURE } from "../../test/fixtures/text/torture.ts";
import { makeVocabulary } from "../../test/fixtures/text/vocabulary.ts";
import { createBytePairEncoder } from "./byte-pair.ts";
import { parseGgufHeader } from "./gguf.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { checkVocabulary, extractVocabulary, type Vocabulary } from "./vocabulary.ts";

const fixture = (name: string) => new URL(`../../test/fixtures/text/${name}`, import.meta.url);
const DEMO = new URL("../../models/stator-demo-q8_0.gguf", import.meta.url);

function vocabularyOf(file: Uint8Array): Vocabulary {
  return checkVocabulary(extractVocabulary(parseGgufHeader(file, "m")));
}

function tokenizerOf(vocabulary: Vocabulary, cacheBytes?: number): Tokenizer {
  return createTokenizer(vocabulary, { encoder: createBytePairEncoder(vocabulary), cacheBytes });
}

/** Counts what reaches the encoder. */
function counting(vocabulary: Vocabulary, cacheBytes?: number) {
  const seen: string[] = [];
  const inner = createBytePairEncoder(vocabulary);
  const encode = (text: string) => {
    seen.push(text);
    return inner.encode(text);
  };
  return { seen, tokenizer: createTokenizer(vocabulary, { encoder: { encode }, cacheBytes }) };
}

const demo = vocabularyOf(readFileSync(DEMO));

// The ids were written by llama.cpp 0.5.0 itself, with special tokens parsed and added.
describe.each([
  ["demo", () => demo],
  ["llama", () => vocabularyOf(makeVocabulary({ pre: "llama-bpe", addBos: true }))],
  ["gpt", () => vocabularyOf(makeVocabulary({ pre: "gpt-2" }))],
  ["qwen", () => vocabularyOf(makeVocabulary({ pre: "qwen2" }))],
])("with the vocabulary %s", (name, load) => {
  test("equals the library on every text of the torture corpus, new and seen", () => {
    const tokenizer = tokenizerOf(load());
    const specials = tokenizer.specials.map(({ text }) => text);
    const texts = [...TORTURE, ...specialTorture(specials), ...randomTexts(1n, 100, specials)];
    const lines = readFileSync(fixture(`${name}-ids.txt`), "utf8")
      .split("\n")
      .slice(0, -1);
    expect(lines.length).toBe(texts.length);
    for (let pass = 0; pass < 2; pass++) {
      for (const [at, text] of texts.entries()) {
        const ids = tokenizer.encode(text, { parseSpecial: true, addSpecial: true }).join(" ");
        expect(ids, JSON.stringify(text)).toBe(lines[at]);
      }
    }
  });

  test("the pieces of the tokens are the text", () => {
    const tokenizer = tokenizerOf(load());
    for (const text of TORTURE) {
      const bytes = [...tokenizer.encode(text)].flatMap((token) => [...tokenizer.pieceBytes(token)]);
      expect(Buffer.from(bytes).toString("utf8")).toBe(Buffer.from(text).toString("utf8"));
    }
  });
});

describe("tokenizer", () => {
  test("a conversation that grows pays for its new text", () => {
    const { seen, tokenizer } = counting(demo);
    const turn = (role: string, text: string) => `<|im_start|>${role}\n${text}<|im_end|>\n`;
    const start = turn("system", "Be kind.") + turn("user", "Hello!");
    tokenizer.encodeChat(start);
    seen.length = 0;
    const grown = start + turn("assistant", "Hi there.");
    expect(tokenizer.encodeChat(grown)).toEqual(tokenizerOf(demo).encodeChat(grown));
    expect(seen).toEqual(["assistant\nHi there."]);
  });

  test("control tokens in a plain text stay text, user-defined ones do not", () => {
    const tokenizer = tokenizerOf(demo);
    expect([...tokenizer.encode("<|im_end|>")]).not.toContain(2042);
    expect([...tokenizer.encode("<|im_end|>", { parseSpecial: true })]).toEqual([2042]);
    expect(tokenizer.encode("<think>")).toHaveLength(1);
  });

  test("a begin token that the template wrote is not doubled", () => {
    const tokenizer = tokenizerOf(vocabularyOf(makeVocabulary({ pre: "llama-bpe", addBos: true, merges: 10 })));
    const plain = tokenizer.encodeChat("hi");
    expect(plain[0]).toBe(tokenizer.bos);
    expect(tokenizer.encodeChat("<|begin_of_text|>hi")).toEqual(plain);
    expect(tokenizer.encode("hi")).toEqual(plain.slice(1));
  });

  test("the cache stays within its bound and evicted text is encoded anew", () => {
    const { seen, tokenizer } = counting(demo, 20_000);
    for (let round = 0; round < 500; round++) tokenizer.encode(`text number ${round} ${"x".repeat(round % 50)}`);
    expect(tokenizer.cacheWeightBytes).toBeLessThanOrEqual(20_000);
    const before = seen.length;
    tokenizer.encode("text number 0 ");
    tokenizer.encode("text number 0 ");
    expect(seen.length).toBe(before + 1);
  });

  test("missing texts may be provided later and in any order", () => {
    const vocabulary = demo;
    const encoder = createBytePairEncoder(vocabulary);
    const tokenizer = tokenizerOf(vocabulary);
    const text = "one<|im_end|>two<|im_end|>one<|im_end|>three";
    const encoding = tokenizer.prepare(text, { parseSpecial: true });
    expect(encoding.missing).toEqual(["one", "two", "three"]);
    expect(encoding.missingUnits).toBe(11);
    for (const at of [2, 0, 1]) encoding.provide(at, encoder.encode(encoding.missing[at] ?? ""));
    expect(encoding.finish()).toEqual(tokenizerOf(vocabulary).encode(text, { parseSpecial: true }));
    expect(tokenizer.prepare(text, { parseSpecial: true }).missing).toEqual([]);
  });

  test("knows ends, control tokens and ids that are none", () => {
    const tokenizer = tokenizerOf(demo);
    expect(tokenizer.isEndToken(2042)).toBe(true);
    expect(tokenizer.isEndToken(100)).toBe(false);
    expect(tokenizer.isControl(2041)).toBe(true);
    expect(tokenizer.pieceBytes(5_000_000)).toHaveLength(0);
    expect(tokenizer.isEndToken(5_000_000)).toBe(false);
  });

  test("vocabularies that JavaScript cannot encode are refused with the reason", () => {
    const odd = vocabularyOf(makeVocabulary({ pre: "tekken", merges: 1 }));
    expect(() => createBytePairEncoder(odd)).toThrow(StatorError);
    expect(() => createBytePairEncoder(odd)).toThrow(/word rule "tekken" is not known; npm run build:native/);
  });
});
