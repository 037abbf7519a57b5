import { expect, test } from "vitest";
import { createBytePairEncoder } from "#lib/text/byte-pair";
import { parseGgufHeader } from "#lib/text/gguf";
import { createTokenizer } from "#lib/text/tokenizer";
import { chatTemplateOf, checkVocabulary, extractVocabulary } from "#lib/text/vocabulary";
import { TextWriter } from "./text.ts";
import { VOCABULARY_SIZES, vocabularyModel } from "./vocabulary.ts";

test("a made vocabulary has its size, a template, and few tokens for the words of the benchmarks", () => {
  const header = parseGgufHeader(vocabularyModel("2k"), "made");
  const vocabulary = checkVocabulary(extractVocabulary(header));
  expect(vocabulary.size).toBe(VOCABULARY_SIZES["2k"]);
  expect(chatTemplateOf(header)).toContain("<|im_start|>");
  const text = new TextWriter(3).words(500);
  const ids = createTokenizer(vocabulary, { encoder: createBytePairEncoder(vocabulary) }).encode(text);
  expect(ids.length).toBeLessThan(Buffer.byteLength(text) / 1.8);
});
