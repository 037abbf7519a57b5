import { describe, expect, it } from "vitest";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import type { ModelInput } from "#lib/discovery/worker-sets";
import { plainAsk } from "#lib/serving/plain-ask";
import { GREEDY } from "#lib/tokens/sampling";
import { BYTE_TEXT, createByteText, encodeBytes } from "../../../test/support/rehearsal/byte-text.ts";
import { type Fitting, type PrepareTools, prepare } from "./prepare.ts";

const ALL: ModelFeatures = {
  ...{ generate: true, embed: true, grammar: true, logprobs: true, promptLogprobs: true },
  ...{ maxTopLogprobs: 2, embeddingSize: 3, missing: {} },
};

const words = {
  ...{ input: "the input", stopTokens: "the stops", biasTokens: "the biases", echo: "the echo" },
  ...{ dimensions: "the size", logprobs: "the scores", tokens: "the ids", guidance: { jsonObject: "an object" } },
};

/** Makes an ask ready for a model of ten tokens. */
function ready(
  more: Parameters<typeof plainAsk>[0] & { readonly input?: object; readonly maxTokens?: number | undefined },
  about: Partial<Fitting & { features: Partial<ModelFeatures>; tools: PrepareTools; takes: ModelInput }> = {},
) {
  const { dimensions, byToken = false, features, tools, takes = "tokens" } = about;
  const { input, maxTokens, ...rest } = more;
  const ask = plainAsk(rest);
  const model = {
    ...{ name: "m", tokenizer: "t", input: takes, contextTokens: 10, defaultSampling: {}, text: createByteText() },
    features: { ...ALL, ...features },
  };
  const whole = { ...ask, ...(input && { input }), stopping: { ...ask.stopping, maxTokens } };
  const usual = { mostScoredTokens: 6 };
  return prepare(whole as never, { model, words, dimensions, byToken }, tools ?? usual);
}

const of = (length: number) => encodeBytes("x".repeat(length));
const refusal = (field: string, param: string) => ({ facts: expect.objectContaining({ field }), param });

describe("an answer", () => {
  it("has what the context leaves, or less where that is asked for", async () => {
    const stopping = async (more: Parameters<typeof ready>[0]) => {
      const { maxTokens, minTokens } = (await ready(more)).stopping;
      return [maxTokens, minTokens];
    };
    expect(await stopping({ prompts: [of(7), of(2)] })).toEqual([3, 0]);
    expect(await stopping({ prompts: [of(7)], maxTokens: 2, minTokens: 2 })).toEqual([2, 2]);
    expect(await stopping({ prompts: [of(9)], maxTokens: 8, minTokens: 8 })).toEqual([1, 1]);
  });

  it("has a prompt that leaves a place for one token, and has tokens", async () => {
    const tooLong = { reason: "CONTEXT_LENGTH", param: "the input" };
    await expect(ready({ prompts: [of(10)] })).rejects.toMatchObject({ ...tooLong, facts: { promptTokens: 10 } });
    await expect(ready({ prompts: [of(11)] })).rejects.toMatchObject({ ...tooLong, facts: { promptTokens: 11 } });
    await expect(ready({ prompts: [of(1), of(0)] })).rejects.toMatchObject(refusal("the input", "the input"));
    const texts = (...given: (string | Uint8Array)[]) => ready({ input: { kind: "text", texts: given } });
    expect((await texts("abcdefgh", "ab")).input).toMatchObject({ prompts: [{ length: 9 }, { length: 3 }] });
    // The length alone says it: nothing was encoded.
    await expect(texts("x".repeat(11))).rejects.toMatchObject({ ...tooLong, facts: { promptTokens: "at least 11" } });
    await expect(texts(Buffer.from("x".repeat(10)))).rejects.toMatchObject({ ...tooLong, facts: { promptTokens: 11 } });
  });

  it("has a prompt that is rendered of messages, by no name of a field", async () => {
    const messages = (prompt: string) =>
      ready({ input: { kind: "messages", messages: { render: () => ({ text: prompt, content: [] }) } } });
    expect((await messages("abc")).input).toEqual({ kind: "tokens", prompts: [encodeBytes("abc")], tokenizer: "t" });
    await expect(messages("")).rejects.toMatchObject(refusal("prompt", "prompt"));
    await expect(messages("x".repeat(11))).rejects.toMatchObject({ reason: "CONTEXT_LENGTH", param: "the input" });
  });

  it("is of tokens that the model has", async () => {
    const last = Uint32Array.of(BYTE_TEXT.vocabularySize - 1);
    const beyond = Uint32Array.of(BYTE_TEXT.vocabularySize);
    const biased = (biasTokens: Uint32Array) => ({ ...GREEDY, biasTokens, biasValues: Float32Array.of(1) });
    await ready({ prompts: [last], stopTokens: last, sampling: biased(last) });
    await expect(ready({ prompts: [beyond] })).rejects.toMatchObject(refusal("the input", "the input"));
    await expect(ready({ stopTokens: beyond })).rejects.toMatchObject(refusal("the stops", "the stops"));
    await expect(ready({ sampling: biased(beyond) })).rejects.toMatchObject(refusal("the biases", "the biases"));
  });

  it("has no more log-probabilities than the model and the bound allow", async () => {
    const scored = { promptLogprobs: true, choicesPerPrompt: 2, topLogprobs: 0 };
    await ready({ prompts: [of(1)], topLogprobs: 2 });
    await expect(ready({ topLogprobs: 3 })).rejects.toThrow("at most 2 are available");
    await ready({ ...scored, prompts: [of(1), of(2)] });
    await expect(ready({ ...scored, prompts: [of(2), of(2)] })).rejects.toMatchObject({
      ...refusal("the echo", "the echo"),
      message: expect.stringContaining("returns 8 tokens of prompts, and at most 6"),
    });
  });
});

it("a form goes on as it was asked for", async () => {
  const guidance = { kind: "jsonObject" } as const;
  expect((await ready({ guidance })).guidance).toEqual(guidance);
});

it("an embedding has a prompt as long as the context, and as many numbers as the model makes", async () => {
  const embed = { kind: "embed" } as const;
  expect((await ready({ ...embed, prompts: [of(10)] }, { dimensions: 3 })).stopping.maxTokens).toBe(1);
  await expect(ready(embed, { dimensions: 4 })).rejects.toMatchObject(refusal("the size", "the size"));
  await expect(ready({ ...embed, prompts: [of(11)] })).rejects.toMatchObject({ param: "the input" });
  await expect(ready({ ...embed, prompts: [of(0)] })).rejects.toMatchObject(refusal("the input", "the input"));
});

it("the size of an embedding is asked for only where somebody knows it", async () => {
  const unknown = { dimensions: 3, features: { embeddingSize: undefined } };
  await expect(ready({ kind: "embed" }, unknown)).rejects.toThrow("m makes embeddings of one size and no others");
});

describe("a model whose workers take text", () => {
  const takes = "text" as const;
  const texts = (...given: (string | Uint8Array)[]) => ({ input: { kind: "text", texts: given } });

  it("gets prompts as they are, of any length, and leaves to them what they leave of the context", async () => {
    const long = "x".repeat(99);
    const { input, stopping } = await ready({ ...texts("a", Buffer.from(long)), minTokens: 4 }, { takes });
    expect(input).toEqual({ kind: "text", texts: ["a", Buffer.from(long)] });
    expect(stopping).toMatchObject({ maxTokens: 10, minTokens: 4 });
    expect((await ready({ ...texts("a"), maxTokens: 3 }, { takes })).stopping.maxTokens).toBe(3);
    const embedded = await ready({ ...texts("a"), kind: "embed" }, { takes, dimensions: 3 });
    expect([embedded.kind, embedded.stopping.maxTokens]).toEqual(["embed", 1]);
  });

  it("takes nothing that needs token ids, and nothing that is empty or that its engine cannot do", async () => {
    const biased = { ...GREEDY, biasTokens: Uint32Array.of(1), biasValues: Float32Array.of(1) };
    for (const [feature, more] of [
      ["Token ids in the input", { input: undefined }],
      ["Chat", { input: { kind: "messages", messages: { render: () => "prompt" } } }],
      ["the scores", { topLogprobs: 0 }],
      ["the stops", { stopTokens: Uint32Array.of(1) }],
      ["the biases", { sampling: biased }],
    ] as const) {
      const refused = ready({ ...texts("a"), ...more } as never, { takes });
      await expect(refused).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE", facts: { feature } });
    }
    const ids = ready(texts("a"), { takes, byToken: true });
    await expect(ids).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE", facts: { feature: "the ids" } });
    await expect(ready(texts("a", ""), { takes })).rejects.toMatchObject(refusal("the input", "the input"));
    for (const [kind, feature] of [
      ["generate", "generate"],
      ["embed", "embed"],
    ] as const) {
      const without = { takes, features: { [feature]: false } };
      await expect(ready({ ...texts("a"), kind }, without)).rejects.toMatchObject({ reason: "UNSUPPORTED_FEATURE" });
    }
  });
});

describe("a model that cannot do it says why", () => {
  it.each([
    ["generate", "Text generation", {}],
    ["embed", "Embedding", { kind: "embed" }],
    ["grammar", "an object", { guidance: { kind: "jsonObject" } }],
    ["grammar", "regex", { guidance: { kind: "regex", pattern: "a" } }],
    ["logprobs", "the scores", { topLogprobs: 0 }],
    ["promptLogprobs", "the echo with the scores", { topLogprobs: 0, promptLogprobs: true }],
  ] as const)("%s: %s", async (feature, name, more) => {
    const without = (missing: ModelFeatures["missing"]) =>
      ready(more as never, { features: { [feature]: false, missing } });
    await expect(without({ [feature]: "it is small" })).rejects.toMatchObject({
      ...{ reason: "UNSUPPORTED_FEATURE", facts: { feature: name, detail: "it is small" } },
    });
    await expect(without({})).rejects.toThrow("the engine of this model cannot do it");
  });
});
