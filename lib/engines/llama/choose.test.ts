import { describe, expect, it } from "vitest";
import { cellBytesOf, chooseContext } from "./choose-context.ts";
import { chooseSlots } from "./choose-slots.ts";
import { chooseThreads } from "./choose-threads.ts";

const GB = 1e9;

describe("threads", () => {
  it.each([
    ["a large model alone", { cores: 16, workers: 1, weightBytes: 8 * GB }, 16, "16 cores"],
    ["a large model twice", { cores: 16, workers: 2, weightBytes: 8 * GB }, 8, "16 cores for 2 workers"],
    ["more workers than cores", { cores: 2, workers: 4, weightBytes: 8 * GB }, 1, "2 cores for 4 workers"],
    ["a small model", { cores: 16, workers: 1, weightBytes: 0.098 * GB }, 1, "so small a model is slower with more"],
    ["a model between", { cores: 16, workers: 1, weightBytes: 1 * GB }, 3, "so small a model is slower with more"],
  ])("of %s", (_, facts, value, why) => expect(chooseThreads(facts)).toEqual({ value, why }));
});

describe("cells", () => {
  const facts = { trainedTokens: 32_768, cellBytes: 18_432, availableBytes: 24 * GB, workers: 2 };

  it.each([
    ["the model's own length", {}, 32_768],
    ["the usual", { trainedTokens: 2048 }, 8192],
    ["the usual", { trainedTokens: 0 }, 8192],
    ["the usual", { trainedTokens: 0, cellBytes: 0, availableBytes: 0 }, 8192],
    ["what memory allows", { trainedTokens: 1_048_576, cellBytes: 131_072 }, 22_784],
    ["what memory allows", { availableBytes: 0.4 * GB, workers: 1 }, 5376],
    ["what memory allows", { availableBytes: 0 }, 512],
  ])("are %s", (why, more, value) => expect(chooseContext({ ...facts, ...more })).toEqual({ value, why }));

  it("take what their elements take", () => {
    const gemma = { layers: 18, kvHeads: 1, headDimK: 256, headDimV: 256 };
    expect(cellBytesOf(gemma, "f16")).toBe(18_432);
    expect(cellBytesOf(gemma, "q8_0")).toBe(9792);
  });
});

describe("slots", () => {
  it.each([
    [{ maxRunning: 32, vocabularySize: 2048 }, 255],
    [{ maxRunning: 16, vocabularySize: 131_072 }, 64],
    [{ maxRunning: 8, vocabularySize: 262_144 }, 32],
    [{ maxRunning: 128, vocabularySize: 262_144 }, 255],
    [{ maxRunning: 32, vocabularySize: 0 }, 255],
  ])("of %o are %i", (facts, value) => expect(chooseSlots(facts).value).toBe(value));
});
