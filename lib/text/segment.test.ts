import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { createSplitter, type Splitter } from "./segment.ts";
import { type SpecialToken, TOKEN_BIT } from "./special.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);

function partsOf(splitter: Splitter, text: string): string[] {
  const parts: string[] = [];
  splitter.split(text, {
    plain: (start, end) => void parts.push(text.slice(start, end)),
    special: (token) => void parts.push(`#${token.id}`),
  });
  return parts;
}

function tokensOf(...texts: string[]): SpecialToken[] {
  return texts
    .map((text, id) => ({ id, text, bits: TOKEN_BIT.control }))
    .sort((left, right) => Buffer.byteLength(right.text) - Buffer.byteLength(left.text));
}

test("cuts at special tokens", () => {
  const splitter = createSplitter(tokensOf("<a>", "<b>"));
  expect(partsOf(splitter, "")).toEqual([]);
  expect(partsOf(splitter, "x<a><b>y<<a> <b")).toEqual(["x", "#0", "#1", "y<", "#0", " <b"]);
});

test("a longer token wins over one that starts before it", () => {
  const splitter = createSplitter(tokensOf("xab", "abcd"));
  expect(partsOf(splitter, "xabcd xab")).toEqual(["x", "#1", " ", "#0"]);
});

test("white space around a token that strips goes", () => {
  const token = { id: 0, text: "<m>", bits: TOKEN_BIT.control | TOKEN_BIT.stripLeft | TOKEN_BIT.stripRight };
  expect(partsOf(createSplitter([token]), "a \n<m>\t b\u00a0<m>")).toEqual(["a", "#0", "b\u00a0", "#0"]);
});

test("a long run of characters that are tokens takes linear time", () => {
  const splitter = createSplitter(tokensOf(...Array.from({ length: 30 }, (_, at) => " ".repeat(at + 2))));
  const parts = partsOf(splitter, " ".repeat(200_000));
  expect(parts.length).toBe(Math.ceil(200_000 / 31));
});

test("is the token by token search, whatever overlaps", () => {
  const chance = new SeededChance(7n);
  const word = (length: number) => Array.from({ length }, () => "ab<é"[pick(chance, 4)]).join("");
  for (let round = 0; round < 3000 * scale; round++) {
    const texts = new Set(Array.from({ length: 1 + pick(chance, 8) }, () => word(1 + pick(chance, 5))));
    const tokens = tokensOf(...texts);
    const text = word(pick(chance, 60));
    const expected = partsOf(createSplitter(tokens, true), text);
    expect(partsOf(createSplitter(tokens), text), `round ${round}`).toEqual(expected);
  }
});
