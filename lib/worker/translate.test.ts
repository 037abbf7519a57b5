import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Pooling, SamplingSchema, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { viewBytes, writeU32 } from "#lib/base/bytes";
import type { Reason, StatorError } from "#lib/base/errors";
import { GREEDY } from "#lib/tokens/sampling";
import { adapterOf, embedRequest, generateRequest, samplingOptions } from "./translate.ts";

const NAMES = { model: "base", hasAdapter: (name: string) => name === "pirate" };
const PROMPT = Uint32Array.of(1, 2);

function generate(more: MessageInitShape<typeof SubmitSchema> = {}) {
  const submit = create(SubmitSchema, { handle: 1, model: "base", stopping: { maxTokens: 5 }, ...more } as typeof more);
  return generateRequest(9, submit, PROMPT, NAMES);
}

function reasonOf(call: () => unknown): Reason | "none" {
  try {
    call();
  } catch (error) {
    return (error as StatorError).reason;
  }
  return "none";
}

describe("a generate frame", () => {
  it("is greedy and plain unless it says otherwise", () => {
    expect(generate()).toEqual({
      kind: "generate",
      id: 9,
      promptTokens: PROMPT,
      generatedTokens: new Uint32Array(0),
      choice: 0,
      sampling: GREEDY,
      stopping: { maxTokens: 5, minTokens: 0, ignoreEos: false, stopTokens: new Uint32Array(0) },
      guidance: undefined,
      topLogprobs: undefined,
      promptLogprobs: false,
      adapter: undefined,
      cacheSalt: "",
      priority: 0,
    });
  });

  it("carries every field", () => {
    const request = generate({
      choice: 2,
      model: "pirate",
      generatedTokenIds: writeU32([4, 5]),
      stopping: { maxTokens: 8, minTokens: 2, ignoreEos: true, stopTokenIds: writeU32([6]) },
      guidance: { grammar: 'root ::= "a"' },
      outputs: { logprobs: true, topLogprobs: 3 },
      cacheSalt: "salt",
      priority: -4,
    });
    expect(request).toMatchObject({
      choice: 2,
      adapter: "pirate",
      generatedTokens: Uint32Array.of(4, 5),
      stopping: { maxTokens: 8, minTokens: 2, ignoreEos: true, stopTokens: Uint32Array.of(6) },
      guidance: { kind: "ebnfGrammar", grammar: 'root ::= "a"' },
      topLogprobs: 3,
      cacheSalt: "salt",
      priority: -4,
    });
  });

  it("asks for log-probabilities only when it says so, also without alternatives", () => {
    expect(generate({ outputs: { logprobs: true } }).topLogprobs).toBe(0);
    expect(generate({ outputs: { topLogprobs: 3, promptLogprobs: true } })).toMatchObject({
      topLogprobs: undefined,
      promptLogprobs: false,
    });
    expect(generate({ outputs: { logprobs: true, promptLogprobs: true } })).toMatchObject({
      topLogprobs: 0,
      promptLogprobs: true,
    });
  });

  it("keeps its arrays when the message's memory is used again", () => {
    const bytes = writeU32([4, 5]);
    const request = generate({ generatedTokenIds: bytes });
    bytes.fill(0);
    expect([...request.generatedTokens]).toEqual([4, 5]);
  });

  it.each<[string, MessageInitShape<typeof SubmitSchema>, Reason]>([
    ["no limit", { stopping: {} }, "INVALID_ARGUMENT"],
    ["no stopping", { stopping: undefined }, "INVALID_ARGUMENT"],
    ["a torn array", { generatedTokenIds: new Uint8Array(3) }, "INVALID_ARGUMENT"],
    ["too many alternatives", { outputs: { logprobs: true, topLogprobs: 21 } }, "INVALID_ARGUMENT"],
    ["an unknown model", { model: "other" }, "MODEL_NOT_FOUND"],
    ["no model", { model: "" }, "MODEL_NOT_FOUND"],
  ])("is refused with %s", (_, more, reason) => {
    expect(reasonOf(() => generate(more))).toBe(reason);
  });
});

describe("sampling", () => {
  const read = (init: MessageInitShape<typeof SamplingSchema>) => samplingOptions(create(SamplingSchema, init));

  it("leaves absent numbers without effect", () => {
    expect(read({})).toEqual(GREEDY);
    expect(read({ temperature: 1 })).toMatchObject({ temperature: 1, topP: 1, repetitionPenalty: 1 });
  });

  it("reads biases", () => {
    const options = read({ biasTokenIds: writeU32([3]), biasValues: viewBytes(Float32Array.of(-100)) });
    expect([...options.biasTokens, ...options.biasValues]).toEqual([3, -100]);
  });

  it.each<MessageInitShape<typeof SamplingSchema>>([
    { temperature: -1 },
    { temperature: 2.5 },
    { temperature: Number.NaN },
    { topP: 1.5 },
    { minP: -0.1 },
    { repetitionPenalty: 0 },
    { repetitionPenalty: 3 },
    { frequencyPenalty: 3 },
    { presencePenalty: Number.POSITIVE_INFINITY },
    { biasTokenIds: writeU32([1]) },
    { biasTokenIds: writeU32([1]), biasValues: viewBytes(Float32Array.of(101)) },
    { biasTokenIds: new Uint8Array(2) },
  ])("refuses %o", (init) => {
    expect(reasonOf(() => read(init))).toBe("INVALID_ARGUMENT");
  });
});

describe("an embed frame", () => {
  const embed = (more: MessageInitShape<typeof SubmitSchema> = {}) =>
    embedRequest(9, create(SubmitSchema, { handle: 1, model: "base", ...more }), PROMPT, NAMES);

  it("is scaled, and pooled as the model does, unless it says otherwise", () => {
    expect(embed()).toEqual({ kind: "embed", id: 9, promptTokens: PROMPT, pooling: undefined, normalize: true });
    const { pooling, normalize } = embed({ embedding: { pooling: Pooling.LAST, unnormalized: true } });
    expect([pooling, normalize]).toEqual(["last", false]);
  });

  it("is refused for an adapter rather than made without it", () => {
    expect(reasonOf(() => embed({ model: "pirate" }))).toBe("UNSUPPORTED_FEATURE");
    expect(reasonOf(() => embed({ model: "other" }))).toBe("MODEL_NOT_FOUND");
  });
});

it("a name means the base model, an adapter or nothing", () => {
  expect(adapterOf("base", NAMES)).toBeUndefined();
  expect(adapterOf("pirate", NAMES)).toBe("pirate");
  expect(reasonOf(() => adapterOf("Base", NAMES))).toBe("MODEL_NOT_FOUND");
});
