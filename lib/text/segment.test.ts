import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { createSplitter, type Splitter } from "./segment.ts";
import { type SpecialToken, TOKEN_BIT } from "./special.ts";

const scale = Number(process.env.TEST_SCALE ?? 1);

function partsOf(splitter: Splitter, text: string, content?: readonly number[]): string[] {
  const parts: string[] = [];
  const sink = {
    plain: (start: number, end: number) => void parts.push(text.slice(start, end)),
    special: (token: SpecialToken) => void parts.push(`#${token.id}`),
  };
  splitter.split(text, sink, { content });
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

test.each([false, true])(
  "a control token that touches content is text, one that users defined is not (token by token: %s)",
  (slow) => {
    const tokens = tokensOf("<a>", "<b>").map((token) =>
      token.id === 1 ? { ...token, bits: TOKEN_BIT.userDefined } : token,
    );
    const splitter = createSplitter(tokens, slow);
    const text = "<a><a><a><b><a>";
    expect(partsOf(splitter, text, [3, 6])).toEqual(["#0", "<a>", "#0", "#1", "#0"]);
    expect(partsOf(splitter, text, [0, 1, 8, 13])).toEqual(["<a>", "#0", "<a>", "#1", "<a>"]);
    expect(partsOf(splitter, text, [])).toEqual(["#0", "#0", "#0", "#1", "#0"]);
    expect(partsOf(splitter, text, [0, 15])).toEqual(["<a><a><a>", "#1", "<a>"]);
  },
);

test("a token that content hides makes place for one that it overlaps", () => {
  for (const slow of [false, true]) {
    expect(partsOf(createSplitter(tokensOf("xab", "abcd"), slow), "xabcd", [4, 5])).toEqual(["#0", "cd"]);
  }
});

test("content hides what the token by token search hides", () => {
  const chance = new SeededChance(8n);
  const word = (length: number) => Array.from({ length }, () => "ab<é"[pick(chance, 4)]).join("");
  for (let round = 0; round < 3000 * scale; round++) {
    const texts = new Set(Array.from({ length: 1 + pick(chance, 8) }, () => word(1 + pick(chance, 5))));
    const tokens = tokensOf(...texts).map((token) => ({ ...token, bits: [1, 8, 32][pick(chance, 3)]! }));
    const text = word(pick(chance, 60));
    const cuts = Array.from({ length: 2 * pick(chance, 5) }, () => pick(chance, text.length + 1));
    const content = [...new Set(cuts)].sort((left, right) => left - right);
    if (content.length % 2 === 1) content.pop();
    const expected = partsOf(createSplitter(tokens, true), text, content);
    expect(partsOf(createSplitter(tokens), text, content), `round ${round}`).toEqual(expected);
  }
});
