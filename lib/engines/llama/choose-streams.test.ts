import { expect, it } from "vitest";
import { chooseStreams, type StreamFacts } from "./choose-streams.ts";

const GB = 1e9;
const facts: StreamFacts = {
  trainedTokens: 2048,
  cellBytes: 2048,
  availableBytes: 20 * GB,
  workers: 2,
  askedTokens: undefined,
  askedCells: undefined,
  maxRunning: 32,
  weightBytes: 4e6,
  blockTokens: 16,
};
const of = (more: Partial<StreamFacts>) => chooseStreams({ ...facts, ...more });

it("takes the model's own length, and twice the sequences that run", () => {
  expect(of({})).toMatchObject({
    contextTokens: 2048,
    sequenceCells: 2304,
    sequences: 64,
    why: "the model's own length",
  });
  expect(of({}).cacheBytes).toBe(64 * 2304 * 2048);
  expect(of({ trainedTokens: 0 })).toMatchObject({ contextTokens: 8192 });
});

it("shortens the context until eight sequences fit, and takes as many as fit", () => {
  const gemma = of({ trainedTokens: 32_768, cellBytes: 18_432, weightBytes: 250e6 });
  expect(gemma).toMatchObject({ contextTokens: 7152, sequences: 8, why: "what memory allows" });
  expect(gemma.cacheBytes).toBeLessThanOrEqual(2 ** 30);
  expect(of({ cellBytes: 23_040 })).toMatchObject({ contextTokens: 2048, sequences: 20, why: "what memory allows" });
  expect(of({ availableBytes: 0 })).toMatchObject({ contextTokens: 496, sequences: 2 });
});

it("lets a cache grow with the weights", () => {
  const large = { trainedTokens: 8192, cellBytes: 131_072, availableBytes: 64 * GB, workers: 1 };
  expect(of({ ...large, weightBytes: 5 * GB }).cacheBytes).toBeGreaterThan(4 * GB);
  expect(of({ ...large, weightBytes: 0.5 * GB }).cacheBytes).toBeLessThanOrEqual(2 ** 30);
});

it("does what somebody asked for, with two sequences at least", () => {
  const asked = of({ trainedTokens: 32_768, cellBytes: 18_432, weightBytes: 250e6, askedTokens: 32_768 });
  expect(asked).toMatchObject({ contextTokens: 32_768, sequences: 2 });
  expect(of({ askedTokens: 100 })).toMatchObject({ contextTokens: 100, sequenceCells: 256, why: "an option" });
  expect(of({ askedCells: 1024 })).toMatchObject({ contextTokens: 1024, sequences: 2, why: "an option" });
  expect(of({ askedTokens: 300, askedCells: 2048 })).toMatchObject({ contextTokens: 300, sequences: 4 });
  expect(of({ maxRunning: 1 })).toMatchObject({ sequences: 2 });
});
