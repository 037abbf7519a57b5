import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { makeCharacterMap } from "../../test/support/character-map.ts";
import { unigramVocabulary } from "../../test/support/tiny-models.ts";
import { GGUF_TYPE, parseGgufHeader } from "./gguf.ts";
import { boolField, type GgufField, i32sField, stringField, stringsField, u32Field, writeGguf } from "./gguf-write.ts";
import { specialTokens, TOKEN_BIT, tokenBits } from "./special.ts";
import { frameOf } from "./tokenizer.ts";
import { chatTemplateOf, checkVocabulary, extractVocabulary } from "./vocabulary.ts";

const MODEL = readFileSync(new URL("../../models/stator-demo-q8_0.gguf", import.meta.url));

function reasonOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof StatorError) return `${error.reason}: ${error.message}`;
    throw error;
  }
  return "nothing thrown";
}

const model = stringField("tokenizer.ggml.model", "gpt2");
const tokens = stringsField("tokenizer.ggml.tokens", ["a", "b", "ab", "<|im_end|>", "<think>", "<a>"]);
const types = i32sField("tokenizer.ggml.token_type", [1, 1, 1, 1, 4, 3]);
const merges = stringsField("tokenizer.ggml.merges", ["a b"]);

describe("vocabulary", () => {
  test("of the demo model", () => {
    const header = parseGgufHeader(MODEL, "demo");
    const artifact = extractVocabulary(header);
    expect(createHash("sha256").update(artifact).digest("hex")).toBe(
      createHash("sha256").update(extractVocabulary(header)).digest("hex"),
    );
    const vocabulary = checkVocabulary(artifact);
    expect(vocabulary.size).toBe(2048);
    expect(vocabulary.pre).toBe("gpt-2");
    expect(vocabulary.ids.get("eos")).toBe(2042);
    expect(chatTemplateOf(header)).toContain("<|im_start|>");
    const bits = tokenBits(vocabulary);
    expect(specialTokens(vocabulary, bits).map((each) => each.text)).toEqual([
      "<|endoftext|>",
      "<|im_start|>",
      "</tool_call>",
      "<tool_call>",
      "<|im_end|>",
      "</think>",
      "<think>",
      "<|pad|>",
    ]);
  });

  test("does not depend on name, weights, template or order of keys", () => {
    const one = writeGguf([stringField("general.name", "one"), model, tokens, types, merges]);
    const other = writeGguf(
      [merges, types, stringField("tokenizer.chat_template", "x"), u32Field("llama.block_count", 9), tokens, model],
      [{ name: "w", dimensions: [4], elementType: 0, data: new Uint8Array(16) }],
    );
    expect(extractVocabulary(parseGgufHeader(one, "one"))).toEqual(extractVocabulary(parseGgufHeader(other, "other")));
  });

  test("an artifact with anything more is refused", () => {
    const plain = extractVocabulary(parseGgufHeader(writeGguf([model, tokens, types, merges]), "m"));
    expect(checkVocabulary(plain).size).toBe(6);
    const longer = new Uint8Array(plain.length + 1);
    longer.set(plain);
    expect(reasonOf(() => checkVocabulary(longer))).toContain("not a plain vocabulary");
    const architecture = stringField("general.architecture", "llama");
    for (const file of [
      writeGguf([architecture, model, tokens, types, merges, u32Field("general.alignment", 3)]),
      writeGguf([architecture, tokens, model, types, merges]),
      writeGguf([stringField("general.architecture", "clip"), model, tokens, types, merges]),
      writeGguf(
        [architecture, model, tokens, types, merges],
        [{ name: "w", dimensions: [4], elementType: 0, data: new Uint8Array(16) }],
      ),
    ]) {
      expect(reasonOf(() => checkVocabulary(file))).toContain("not a plain vocabulary");
    }
  });

  test("what would abort the library is refused", () => {
    const read = (...fields: Parameters<typeof writeGguf>[0]) =>
      reasonOf(() => extractVocabulary(parseGgufHeader(writeGguf(fields), "m")));
    expect(read(tokens)).toContain("no tokenizer");
    expect(read(model, merges)).toContain("no vocabulary");
    expect(read(model, tokens)).toContain("no merges");
    expect(read(stringField("tokenizer.ggml.model", "rwkv"), tokens)).toContain("UNSUPPORTED_FEATURE");
    expect(read(stringField("tokenizer.ggml.model", "llama"), tokens)).toContain("<0x00>");
    expect(read(model, merges, stringsField("tokenizer.ggml.tokens", ["a", "b", "a"]))).toContain("token 2 twice");
    expect(read(model, merges, stringsField("tokenizer.ggml.tokens", ["", "[EMPTY_0]"]))).toContain("token 1 twice");
    expect(read(model, merges, stringsField("tokenizer.ggml.tokens", ["a", "a\u0000b"]))).toContain("token 1 twice");
    const broken = [Uint8Array.of(0xff), Uint8Array.of(0xfe)];
    expect(read(model, merges, stringsField("tokenizer.ggml.tokens", broken))).toBe("nothing thrown");
    expect(read(model, merges, tokens, i32sField("tokenizer.ggml.token_type", [1]))).toContain("fewer token types");
    expect(read(model, merges, tokens, boolField("tokenizer.ggml.pre", true))).toContain("another type");
  });

  test("marks tokens as the library does", () => {
    const vocabulary = checkVocabulary(
      extractVocabulary(parseGgufHeader(writeGguf([model, tokens, types, merges]), "m")),
    );
    const bits = tokenBits(vocabulary);
    // A normal token with a known end text becomes a control token.
    expect(bits[3]).toBe(TOKEN_BIT.control | TOKEN_BIT.endOfGeneration);
    expect(bits[4]).toBe(TOKEN_BIT.userDefined);
    expect(bits[5]).toBe(TOKEN_BIT.control);
  });
});

const CHARACTER_MAP = "tokenizer.ggml.precompiled_charsmap";

function mapField(content: Uint8Array, elementType: number = GGUF_TYPE.u8): GgufField {
  return { key: CHARACTER_MAP, type: GGUF_TYPE.array, elementType, count: content.length, content };
}

describe("a unigram vocabulary", () => {
  const unigram = stringField("tokenizer.ggml.model", "t5");
  const scores: GgufField = {
    ...{ key: "tokenizer.ggml.scores", type: GGUF_TYPE.array, elementType: GGUF_TYPE.f32, count: 6 },
    content: new Uint8Array(24),
  };
  const open = (...fields: GgufField[]) => {
    const header = parseGgufHeader(writeGguf([unigram, tokens, types, scores, ...fields]), "m");
    return checkVocabulary(extractVocabulary(header));
  };

  test("is what the library assumes where its file is silent", () => {
    const silent = open();
    expect(frameOf(silent)).toEqual({ bos: undefined, eos: 1, first: undefined, last: 1 });
    expect(silent.unknown).toBe(2);
    expect(silent.normal).toMatchObject({ addSpacePrefix: false, removeExtraSpaces: false });
    expect(silent.characterMap).toBeUndefined();
    expect(frameOf(open(boolField("tokenizer.ggml.add_eos_token", false))).last).toBeUndefined();
    expect((tokenBits(silent)[1] ?? 0) & TOKEN_BIT.endOfGeneration).not.toBe(0);
  });

  test("keeps its character map, of bytes of either sign, which other kinds do without", () => {
    const made = checkVocabulary(extractVocabulary(parseGgufHeader(unigramVocabulary(), "m")));
    expect(made.normal).toMatchObject({ addSpacePrefix: true, removeExtraSpaces: true });
    expect(made.characterMap?.length).toBeGreaterThan(1024);
    const map = Uint8Array.from(makeCharacterMap({ a: "b" }));
    for (const elementType of [GGUF_TYPE.u8, GGUF_TYPE.i8]) {
      expect(open(mapField(map, elementType)).characterMap).toEqual(map);
    }
    const bytePairs = (...more: GgufField[]) =>
      extractVocabulary(parseGgufHeader(writeGguf([model, tokens, types, merges, ...more]), "m"));
    expect(bytePairs(mapField(Uint8Array.of(1)))).toEqual(bytePairs());
  });

  test("without scores, or with a character map that leads outside itself, is refused", () => {
    const noScores = writeGguf([unigram, tokens, types]);
    expect(reasonOf(() => extractVocabulary(parseGgufHeader(noScores, "m")))).toContain("no scores");
    expect(reasonOf(() => open(mapField(new Uint8Array(8), GGUF_TYPE.bool)))).toContain("another type");
    const map = Uint8Array.from(makeCharacterMap({ a: "b" }));
    map[map.length - 1] = 1;
    expect(reasonOf(() => open(mapField(map)))).toContain(
      "BAD_MODEL_FILE: m cannot be used as a model: its character map",
    );
    expect(reasonOf(() => open(mapField(new Uint8Array())))).toContain("its character map is cut short");
  });
});
