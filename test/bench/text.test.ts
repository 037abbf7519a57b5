import { expect, test } from "vitest";
import { allWords, LEXICON_WORDS, TextWriter } from "./text.ts";

test("the words of the benchmarks are many, and of many scripts", () => {
  const words = allWords();
  expect(new Set(words).size).toBe(LEXICON_WORDS);
  const text = new TextWriter(1).words(200_000);
  expect(new Set(text.match(/[^\s.;!。؟।\d]+/gu)).size).toBeGreaterThan(50_000);
  for (const script of ["Latin", "Cyrillic", "Greek", "Han", "Hangul", "Arabic", "Devanagari"]) {
    expect(text).toMatch(new RegExp(`\\p{Script=${script}}{2}`, "u"));
  }
  expect(text).toMatch(/\p{Extended_Pictographic}/u);
  expect(text.isWellFormed()).toBe(true);
});

test("a seed gives its text, another seed another one, and a writer does not repeat itself", () => {
  const one = new TextWriter(7);
  const first = one.words(40);
  expect(new TextWriter(7).words(40)).toBe(first);
  expect(new TextWriter(8).words(40)).not.toBe(first);
  expect(one.words(40)).not.toBe(first);
});
