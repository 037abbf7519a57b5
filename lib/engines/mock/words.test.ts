import { expect, test } from "vitest";
import { parseGgufHeader } from "#lib/text/gguf";
import { i32sField, stringField, stringsField, u32Field, writeGguf } from "#lib/text/gguf-write";
import { byteCharacters } from "#lib/text/pieces";
import { checkVocabulary, extractVocabulary } from "#lib/text/vocabulary";
import { findWords } from "./words.ts";

/** A byte-level vocabulary of all bytes, these words and an end. */
function vocabularyOf(words: readonly string[]) {
  const characters = byteCharacters();
  const inFile = (text: string) => Array.from(new TextEncoder().encode(text), (byte) => characters[byte]).join("");
  const tokens = [...characters, ...words.map(inFile), "<end>"];
  const fields = [
    stringField("general.architecture", "llama"),
    stringField("tokenizer.ggml.model", "gpt2"),
    stringField("tokenizer.ggml.pre", "gpt-2"),
    stringsField("tokenizer.ggml.tokens", tokens),
    i32sField(
      "tokenizer.ggml.token_type",
      tokens.map((_, id) => (id === tokens.length - 1 ? 3 : 1)),
    ),
    stringsField("tokenizer.ggml.merges", ["a b"]),
    u32Field("tokenizer.ggml.eos_token_id", tokens.length - 1),
  ];
  return checkVocabulary(extractVocabulary(parseGgufHeader(writeGguf(fields), "made")));
}

const LATIN = Array.from({ length: 64 }, (_, at) => ` w${String.fromCharCode(97 + (at % 26), 97 + ((at / 26) | 0))}`);

test("words of every script are said; pieces of words, names, marks and broken characters are not", () => {
  const said = [" σοφία", " слово", " ноль", " सत्य", " نور", " 水流"];
  const words = findWords(vocabularyOf([...LATIN, ...said, "ing", " The", " a", " 42", " ,", " 水流\u{1F600}"]));
  expect(words.words).toHaveLength(LATIN.length + said.length);
  const decoder = new TextDecoder();
  const texts = Array.from(words.words, (id) =>
    decoder.decode(words.pieces.bytes.subarray(words.pieces.offsets[id], words.pieces.offsets[id + 1])),
  );
  expect(texts.slice(LATIN.length)).toEqual(said);
});

test("a vocabulary with next to no words is refused", () => {
  expect(() => findWords(vocabularyOf([" one", " two"]))).toThrow("its vocabulary has too few words");
});
