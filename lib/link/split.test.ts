import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import {
  GuidanceSchema,
  InputPartSchema,
  LinkRequestSchema,
  SamplingSchema,
  StoppingSchema,
  type Submit,
} from "#gen/stator/worker/v1/link_pb";
import { readU32 } from "#lib/base/bytes";
import { submitOf } from "../../test/support/link-rig.ts";
import { partBytes, splitSubmit, submitBytes } from "./split.ts";

const idsTo = (count: number) => Array.from({ length: count }, (_, at) => at);

/** What stands beside the prompt of `submitOf`: 512 bytes of frame, and 3 for each of the letters r and m. */
const FIXED = 518;

function split(submit: Submit, maxBytes: number) {
  const { first, parts } = splitSubmit(submit, 7, maxBytes);
  for (const message of [{ submits: [first] }, ...parts.map((part) => ({ parts: [part] }))]) {
    const bytes = toBinary(LinkRequestSchema, create(LinkRequestSchema, message)).length;
    expect(bytes).toBeLessThanOrEqual(maxBytes);
  }
  expect([first.handle, ...parts.map(({ handle }) => handle)]).toEqual(Array(1 + parts.length).fill(7));
  expect(first.moreInput).toBe(parts.length > 0);
  expect(parts.map(({ last }) => last)).toEqual(parts.map((_, at) => at === parts.length - 1));
  const tokens = [first, ...parts].map(({ promptTokenIds }) => [...readU32(promptTokenIds)]);
  const texts = [first, ...parts].map(({ promptText }) => promptText);
  expect(tokens.flat()).toEqual([...readU32(submit.promptTokenIds)]);
  expect(texts.join("")).toBe(submit.promptText);
  return { first, parts, sizes: tokens.map(({ length }) => length), texts };
}

describe("the weight of a request", () => {
  test.each([
    ["its frame and its names", {}, FIXED],
    ["a salt", { cacheSalt: "abc" }, FIXED + 9],
    ["a trace", { traceparent: "abc" }, FIXED + 9],
    ["a grammar", { guidance: create(GuidanceSchema, { grammar: "abcd" }) }, FIXED + 12],
    ["generated tokens", { generatedTokenIds: new Uint8Array(8) }, FIXED + 8],
    ["stop tokens", { stopping: create(StoppingSchema, { stopTokenIds: new Uint8Array(12) }) }, FIXED + 12],
    [
      "a bias",
      { sampling: create(SamplingSchema, { biasTokenIds: new Uint8Array(4), biasValues: new Uint8Array(8) }) },
      FIXED + 12,
    ],
    ["a text, three bytes a letter", { promptText: "abcd" }, FIXED + 12],
  ])("counts %s", (_what, more, bytes) => {
    expect(submitBytes(submitOf([], more))).toBe(bytes);
    expect(submitBytes(submitOf([1, 2], more))).toBe(bytes + 8);
  });

  it("of a part counts its frame, tokens and text", () => {
    expect(partBytes(create(InputPartSchema, { promptTokenIds: new Uint8Array(8), promptText: "abc" }))).toBe(64 + 17);
  });
});

describe("a request in frames", () => {
  it("is one when it fits to the byte, and the whole of it", () => {
    const submit = submitOf(idsTo(10));
    const { first } = split(submit, FIXED + 40);
    expect(first).toEqual({ ...submit, handle: 7 });
    expect(split(submit, FIXED + 39).sizes).toEqual([9, 1]);
  });

  it("has whole tokens, as many as fit beside the rest and then as many as fit into a part", () => {
    expect(split(submitOf(idsTo(300)), FIXED + 43).sizes).toEqual([10, 124, 124, 42]);
    expect(split(submitOf(idsTo(134)), FIXED + 43).sizes).toEqual([10, 124]);
    expect(split(submitOf(idsTo(135)), FIXED + 43).sizes).toEqual([10, 124, 1]);
  });

  it("may have room for one token, and is refused when there is none", () => {
    expect(split(submitOf(idsTo(3)), FIXED + 4).sizes).toEqual([1, 2]);
    for (const maxBytes of [FIXED + 3, FIXED, 10]) {
      const refused = `A request is longer than ${maxBytes} bytes beside its prompt`;
      expect(() => splitSubmit(submitOf(idsTo(3)), 7, maxBytes)).toThrow(refused);
    }
  });

  it("has whole characters, though a cut may fall between the halves of one", () => {
    expect(split(submitOf([], { promptText: "ab😀😀cd" }), FIXED + 9).texts).toEqual(["ab", "😀😀cd"]);
    expect(split(submitOf([], { promptText: "a😀😀😀b" }), FIXED + 9).texts[0]).toBe("a😀");
    expect(split(submitOf([], { promptText: "abcdef" }), FIXED + 9).texts[0]).toBe("abc");
    // The first and the last high surrogate, and the letters around them.
    for (const letter of ["\u{10000}", "\u{10ffff}"]) {
      expect(split(submitOf([], { promptText: `ab${letter}cd` }), FIXED + 9).texts[0]).toBe("ab");
      expect(split(submitOf([], { promptText: `a${letter}bcd` }), FIXED + 9).texts[0]).toBe(`a${letter}`);
    }
    for (const letter of ["\ud7ff", "\ue000"]) {
      expect(split(submitOf([], { promptText: `ab${letter}cd` }), FIXED + 9).texts[0]).toBe(`ab${letter}`);
    }
  });

  it("has text as much as fits beside the rest and then into a part, two units at the least", () => {
    const sizes = (maxBytes: number, units = 200) =>
      split(submitOf([], { promptText: "x".repeat(units) }), maxBytes).texts.map(({ length }) => length);
    expect(sizes(FIXED + 30)).toEqual([10, 161, 29]);
    expect(sizes(FIXED + 30, 171)).toEqual([10, 161]);
    expect(sizes(FIXED + 4)).toEqual([2, 152, 46]);
    expect(split(submitOf([], { promptText: "😀😀" }), FIXED + 4).texts).toEqual(["😀", "😀"]);
  });

  it("ends with a character whose low half is the last unit", () => {
    expect(split(submitOf([], { promptText: "ab😀" }), FIXED + 11).texts).toEqual(["ab", "😀"]);
  });
});
