import { expect, it } from "vitest";
import { checkSampling, GREEDY } from "./sampling.ts";

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
