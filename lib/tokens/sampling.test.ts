import { expect, it } from "vitest";
import { checkSampling, fillSampling, GREEDY, type SamplingOptions, UNSAID } from "./sampling.ts";

it("takes what lies in its range", () => {
  const edges = { ...GREEDY, temperature: 2, topK: -1, topP: 1, minP: 1, repetitionPenalty: 2, presencePenalty: -2 };
  expect(checkSampling(edges)).toBe(edges);
  const biased = { ...GREEDY, biasTokens: Uint32Array.of(1, 2), biasValues: Float32Array.of(-100, 100) };
  expect(checkSampling(biased)).toBe(biased);
});

it.each([
  ["temperature", { temperature: 2.1 }],
  ["temperature", { temperature: Number.NaN }],
  ["top_k", { topK: -2 }],
  ["top_k", { topK: 0.5 }],
  ["top_p", { topP: 0 }],
  ["min_p", { minP: 1.1 }],
  ["repetition_penalty", { repetitionPenalty: 0 }],
  ["frequency_penalty", { frequencyPenalty: 2.1 }],
  ["presence_penalty", { presencePenalty: -2.1 }],
  ["bias_values", { biasTokens: Uint32Array.of(1) }],
  ["bias_values", { biasTokens: Uint32Array.of(1), biasValues: Float32Array.of(100.5) }],
  ["bias_values", { biasTokens: Uint32Array.of(1), biasValues: Float32Array.of(Number.NaN) }],
])("refuses %s by its name: %j", (name, more) => {
  const refusal = { reason: "INVALID_ARGUMENT", facts: { detail: expect.stringContaining(`${name}: expected `) } };
  expect(() => checkSampling({ ...GREEDY, ...more })).toThrow(expect.objectContaining(refusal));
});

it("takes a request's values, then the model's, then the API's", () => {
  const fill = (asked: Partial<SamplingOptions>, usual: Parameters<typeof fillSampling>[1] = {}) =>
    fillSampling({ ...UNSAID, ...asked }, usual, () => 7n);
  expect(fill({})).toEqual({ ...GREEDY, temperature: 1, seed: 7n });
  const usual = { temperature: 0.7, top_k: 64, top_p: 0.95, min_p: 0.1, repetition_penalty: 1.05 };
  const more = { frequency_penalty: 1, presence_penalty: 2 };
  const filled = { temperature: 0.7, topK: 64, topP: 0.95, minP: 0.1, repetitionPenalty: 1.05 };
  expect(fill({}, { ...usual, ...more })).toMatchObject({ ...filled, frequencyPenalty: 1, presencePenalty: 2 });
  const biased = { biasTokens: Uint32Array.of(1), biasValues: Float32Array.of(2) };
  const own: SamplingOptions = { ...GREEDY, ...biased, temperature: 0, topP: 0.5, repetitionPenalty: 1.5, seed: 0n };
  expect(fill(own, { ...usual, ...more })).toEqual(own);
  expect([fill({ topK: -1 }, usual).topK, fill({}, { top_k: -1 }).topK]).toEqual([0, 0]);
});
