import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { GenerateRequestSchema } from "#gen/openengine/v1/generation_pb";
import type { StatorError } from "#lib/base/errors";
import type { Guidance } from "#lib/text/grammar/guidance";
import { GREEDY } from "#lib/tokens/sampling";
import { FakeEngine } from "../../../test/support/fake-engine.ts";
import type { GenerateRequest } from "../engine.ts";
import { type AskTarget, checkAsk, printAsk } from "./ask.ts";

const TARGET: AskTarget = { model: "m", goesOn: false, ignoresSalt: false };
const REQUEST: GenerateRequest = {
  kind: "generate",
  id: 7,
  promptTokens: Uint32Array.of(1, 2, 3),
  generatedTokens: new Uint32Array(0),
  choice: 0,
  sampling: { ...GREEDY, seed: 2n ** 64n - 1n },
  stopping: { maxTokens: 4, minTokens: 2, ignoreEos: true, stopTokens: Uint32Array.of(9) },
  guidance: undefined,
  topLogprobs: undefined,
  promptLogprobs: false,
  adapter: undefined,
  cacheSalt: "",
  priority: 0,
};

const print = (request: Partial<GenerateRequest> = {}, target: Partial<AskTarget> = {}) =>
  create(
    GenerateRequestSchema,
    printAsk({ ...REQUEST, ...request }, { requestId: "r", target: { ...TARGET, ...target } }),
  );

it("every value is said, also those that change nothing, and a seed keeps its 64 bits", () => {
  expect(print()).toMatchObject({
    requestId: "r",
    model: "m",
    input: { case: "tokenIds", value: { ids: [1, 2, 3] } },
    sampling: { temperature: 0, topP: 1, topK: -1, minP: 0, repetitionPenalty: 1, frequencyPenalty: 0 },
    stopping: { maxTokens: 4, minTokens: 2, ignoreEos: true, includeStopInOutput: false },
    loraName: "",
  });
  expect(print().sampling).toMatchObject({ presencePenalty: 0, seed: 2n ** 64n - 1n, numSequences: 1 });
  expect(print().stopping?.conditions.map(({ condition }) => condition)).toEqual([{ case: "stopTokenId", value: 9 }]);
  expect([print().kv, print().response, print().guided, print().extra]).toEqual(Array(4).fill(undefined));
});

it("a prompt that goes on is longer, and its bounds are those of what is to come", () => {
  const going = { generatedTokens: Uint32Array.of(4, 5, 6) };
  expect(print(going)).toMatchObject({
    input: { value: { ids: [1, 2, 3, 4, 5, 6] } },
    stopping: { maxTokens: 1, minTokens: 0 },
  });
  expect(print(going).extra).toBeUndefined();
  const ours = print({ ...going, choice: 2 }, { goesOn: true });
  expect(ours.extra).toEqual({ stator_choice: 2, stator_generated_tokens: 3 });
  expect(ours.sampling?.seed).toBe(REQUEST.sampling.seed);
});

it("choices of one request have seeds of their own, the same each time", () => {
  const seeds = [0, 1, 2, 1].map((choice) => print({ choice }).sampling!.seed!);
  expect(seeds[0]).toBe(REQUEST.sampling.seed);
  expect(new Set(seeds).size).toBe(3);
  expect(seeds[3]).toBe(seeds[1]);
});

it("salt, adapter, text, log-probabilities and forms go over as they are", () => {
  expect(print({ cacheSalt: "s" }).kv).toMatchObject({ cacheSalt: "s" });
  expect(print({ adapter: "a" }).loraName).toBe("a");
  expect(print({ promptText: "hi" }).input).toEqual({ case: "prompt", value: "hi" });
  expect(print({ topLogprobs: 0 }).response).toMatchObject({ returnOutputLogprobs: true });
  expect(print({ topLogprobs: 0 }).response?.outputCandidates).toBeUndefined();
  const scored = print({ topLogprobs: 3, promptLogprobs: true }).response;
  expect(scored).toMatchObject({ returnPromptLogprobs: true, promptCandidates: { selection: { value: 3 } } });
  const forms: [Guidance, unknown][] = [
    [{ kind: "jsonObject" }, { case: "jsonObject" }],
    [
      { kind: "jsonSchema", schema: new TextEncoder().encode("{}") },
      { case: "jsonSchema", value: "{}" },
    ],
    [
      { kind: "choice", choices: ["a"] },
      { case: "choice", value: { choices: ["a"] } },
    ],
    [
      { kind: "ebnfGrammar", grammar: "g" },
      { case: "ebnfGrammar", value: "g" },
    ],
    [
      { kind: "regex", pattern: "p" },
      { case: "regex", value: "p" },
    ],
    [
      { kind: "structuralTag", tag: "t" },
      { case: "structuralTag", value: "t" },
    ],
  ];
  for (const [guidance, guide] of forms) expect(print({ guidance }).guided?.guide).toMatchObject(guide as object);
});

it("what the contract has no word for is refused", () => {
  const { card } = new FakeEngine();
  const reason = (request: Partial<GenerateRequest>, target: Partial<AskTarget> = {}): string => {
    try {
      checkAsk({ ...REQUEST, ...request }, card, { ...TARGET, ...target });
    } catch (error) {
      return (error as StatorError).reason;
    }
    return "none";
  };
  expect(reason({})).toBe("none");
  const bias = { biasTokens: Uint32Array.of(1), biasValues: Float32Array.of(1) };
  expect(reason({ sampling: { ...GREEDY, ...bias } })).toBe("UNSUPPORTED_FEATURE");
  expect(reason({ cacheSalt: "s" })).toBe("none");
  expect(reason({ cacheSalt: "s" }, { ignoresSalt: true })).toBe("UNSUPPORTED_FEATURE");
  const going = { guidance: { kind: "jsonObject" }, generatedTokens: Uint32Array.of(1) } as const;
  expect(reason(going)).toBe("UNSUPPORTED_FEATURE");
  expect(reason(going, { goesOn: true })).toBe("none");
  expect(reason({ topLogprobs: 6 })).toBe("INVALID_ARGUMENT");
  expect(reason({ promptTokens: new Uint32Array(0) })).toBe("INVALID_ARGUMENT");
  expect(reason({ promptTokens: new Uint32Array(512).fill(1) })).toBe("CONTEXT_LENGTH");
  expect(reason({ generatedTokens: Uint32Array.of(1, 1, 1, 1) })).toBe("INVALID_ARGUMENT");
  expect(reason({ sampling: { ...GREEDY, temperature: -1 } })).toBe("INVALID_ARGUMENT");
});
