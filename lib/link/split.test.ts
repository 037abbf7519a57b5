import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import {
  GuidanceForm,
  GuidanceSchema,
  InputPartSchema,
  LinkRequestSchema,
  SamplingSchema,
  StoppingSchema,
  type Submit,
} from "#gen/stator/worker/v1/link_pb";
import { readU32, writeU32 } from "#lib/base/bytes";
import type { StatorError } from "#lib/base/errors";
import { submitOf } from "../../test/support/link-rig.ts";
import { partBytes, splitSubmit, submitBytes } from "./split.ts";

const idsTo = (count: number) => Array.from({ length: count }, (_, at) => at);

/** What stands beside the prompt of `submitOf`: 512 bytes of frame, and 3 for each of the letters r and m. */
const FIXED = 518;

function split(submit: Submit, maxBytes: number, features: readonly string[] = ["parts"]) {
  const { first, parts } = splitSubmit(submit, 7, { maxBytes, features });
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
  const answers = [first, ...parts].map(({ generatedTokenIds }) => [...readU32(generatedTokenIds)]);
  expect(answers.flat()).toEqual([...readU32(submit.generatedTokenIds)]);
  const forms = [first.guidance?.text, ...parts.map(({ guidanceText }) => guidanceText)];
  expect(Buffer.concat(forms.map((form) => form ?? new Uint8Array(0)))).toEqual(
    Buffer.from(submit.guidance?.text ?? []),
  );
  const sizesOf = (each: readonly { readonly length: number }[]) => each.map(({ length }) => length);
  return {
    first,
    parts,
    sizes: sizesOf(tokens),
    texts,
    answers: sizesOf(answers),
    forms: forms.map((form) => form?.length),
  };
}

function refusal(submit: Submit, maxBytes: number, features: readonly string[]): string {
  try {
    splitSubmit(submit, 7, { maxBytes, features });
  } catch (error) {
    return `${(error as StatorError).reason}: ${(error as StatorError).message}`;
  }
  return "taken";
}

describe("the weight of a request", () => {
  test.each([
    ["its frame and its names", {}, FIXED],
    ["a salt", { cacheSalt: "abc" }, FIXED + 9],
    ["a trace", { traceparent: "abc" }, FIXED + 9],
    ["a grammar", { guidance: create(GuidanceSchema, { grammar: "abcd" }) }, FIXED + 12],
    ["the text of a form", { guidance: create(GuidanceSchema, { text: new Uint8Array(5) }) }, FIXED + 5],
    ["settings of an engine", { engineExtras: new Uint8Array(9) }, FIXED + 9],
    ["a session", { session: { sessionId: "abc" } }, FIXED + 5],
    ["a room", { room: { number: 1n, host: "ab" } }, FIXED + 13],
    ["media, each with its frame", { media: [{ digest: new Uint8Array(32) }, { payload: "ab" }] }, FIXED + 16 + 34 + 4],
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

  it("of a part counts its frame, tokens, text, answer and form", () => {
    const part = { promptTokenIds: new Uint8Array(8), promptText: "abc" };
    expect(partBytes(create(InputPartSchema, part))).toBe(64 + 17);
    const more = { generatedTokenIds: new Uint8Array(12), guidanceText: new Uint8Array(5) };
    expect(partBytes(create(InputPartSchema, { ...part, ...more }))).toBe(64 + 34);
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

  it("may have no room for a token beside the rest, and is refused when the rest does not fit", () => {
    expect(split(submitOf(idsTo(3)), FIXED + 4).sizes).toEqual([1, 2]);
    expect(split(submitOf(idsTo(3)), FIXED).sizes).toEqual([0, 3]);
    for (const features of [[], ["parts"]]) {
      expect(refusal(submitOf(idsTo(3)), FIXED, features)).toBe("taken");
      for (const maxBytes of [FIXED - 1, 10]) {
        expect(refusal(submitOf(idsTo(3)), maxBytes, features)).toBe(
          `INVALID_ARGUMENT: A request takes more than ${maxBytes} bytes beside its prompt, its form and what was answered of it.`,
        );
      }
    }
  });

  it("goes on with the answer so far and the form, each frame as full as it may be", () => {
    const guidance = create(GuidanceSchema, { form: GuidanceForm.GRAMMAR, text: Buffer.from("x".repeat(700)) });
    const submit = submitOf(idsTo(10), { generatedTokenIds: writeU32(idsTo(300)), promptText: "ab", guidance });
    const { first, sizes, texts, answers, forms } = split(submit, FIXED + 43);
    expect(first.guidance?.form).toBe(GuidanceForm.GRAMMAR);
    // 43 bytes, then 497 in each part: all of the prompt, what is left of the answer, and then of the form.
    expect([sizes, texts, answers, forms]).toEqual([
      [10, 0, 0, 0, 0],
      ["a", "b", "", "", ""],
      [0, 123, 124, 53, 0],
      [0, 2, 1, 285, 412],
    ]);
  });

  it("never has tokens and text together that are more than a frame", () => {
    const sides = split(submitOf(idsTo(100), { promptText: "x".repeat(200) }), FIXED + 100);
    expect(sides.sizes).toEqual([25, 75, 0]);
    expect(sides.texts.map(({ length }) => length)).toEqual([0, 84, 116]);
  });

  it("goes on with the prompt alone to a worker of an older build, which takes no more", () => {
    const outdated =
      "WORKER_OUTDATED: The worker is of an older build, which cannot take an answer or a form of this length.";
    const answered = submitOf(idsTo(50), { generatedTokenIds: writeU32(idsTo(10)) });
    expect(split(answered, FIXED + 60, []).sizes).toEqual([5, 45]);
    expect(split(answered, FIXED + 60, []).answers).toEqual([10, 0]);
    expect(split(answered, FIXED + 40, []).sizes).toEqual([0, 50]);
    expect(refusal(answered, FIXED + 39, [])).toBe(outdated);
    expect(refusal(answered, FIXED + 39, ["parts"])).toBe("taken");
    const grammar = create(GuidanceSchema, { grammar: "x".repeat(10) });
    expect(split(submitOf(idsTo(9), { guidance: grammar }), FIXED + 30, []).sizes).toEqual([0, 9]);
    expect(refusal(submitOf([1], { guidance: grammar }), FIXED + 29, [])).toBe(outdated);
    const text = create(GuidanceSchema, { text: new Uint8Array(10) });
    expect(refusal(submitOf([1], { guidance: text }), FIXED + 9, [])).toBe(outdated);
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

  it("has text as much as fits beside the rest and then into a part", () => {
    const sizes = (maxBytes: number, units = 200) =>
      split(submitOf([], { promptText: "x".repeat(units) }), maxBytes).texts.map(({ length }) => length);
    expect(sizes(FIXED + 30)).toEqual([10, 161, 29]);
    expect(sizes(FIXED + 30, 171)).toEqual([10, 161]);
    expect(sizes(FIXED + 4)).toEqual([1, 152, 47]);
    expect(split(submitOf([], { promptText: "😀😀" }), FIXED + 4).texts).toEqual(["", "😀😀"]);
  });

  it("ends with a character whose low half is the last unit", () => {
    expect(split(submitOf([], { promptText: "ab😀" }), FIXED + 11).texts).toEqual(["ab", "😀"]);
  });
});
