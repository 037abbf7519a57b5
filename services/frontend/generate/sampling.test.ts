import { expect, it } from "vitest";
import { createSampling } from "./sampling.ts";

const defaults = { drawSeed: () => 7n };

it("takes a request's values, then the model's, then the API's", () => {
  const defaultSampling = { temperature: 0.7, top_k: 64, top_p: 0.95, min_p: 0.1, repetition_penalty: 1.05 };
  expect(createSampling({}, { ...defaults, defaultSampling: {} })).toMatchObject({ temperature: 1, topK: 0, topP: 1 });
  expect(createSampling({ temperature: 0, top_k: -1, top_p: null }, { ...defaults, defaultSampling })).toMatchObject({
    temperature: 0,
    topK: 0,
    topP: 0.95,
    minP: 0.1,
    repetitionPenalty: 1.05,
    seed: 7n,
  });
  expect(
    createSampling({}, { ...defaults, defaultSampling: { top_k: -1, frequency_penalty: 1, presence_penalty: 2 } }),
  ).toMatchObject({
    topK: 0,
    frequencyPenalty: 1,
    presencePenalty: 2,
  });
});
