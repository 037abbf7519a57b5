import { describe, expect, it, test } from "vitest";
import { type BypassAsk, type BypassName, judgeBypass } from "./bypass.ts";
import { USUAL_DISAGGREGATION } from "./disaggregation.ts";

const { constants } = USUAL_DISAGGREGATION;
const ASK: BypassAsk = {
  ...{ promptTokens: 8_000, heldTokens: 0, prefillTokens: 0, passTokens: 1_000, activeBlocks: 0, totalBlocks: 1_000 },
  prices: { whole: 10, split: 5 },
};
const says = (rule: BypassName, more: Partial<BypassAsk> = {}) =>
  judgeBypass(rule, { ...ASK, ...more }, constants).isBypassed;

// The reference's own vectors, in blocks of 16 tokens.
test.each([
  [1_000, 0, false],
  [1_000, 20, true],
  [8_000, 400, true],
  [8_000, 300, false],
  [3_000, 80, true],
])("isl-bounding: of a prompt of %i tokens with %i blocks held", (promptTokens, blocks, isBypassed) => {
  expect(says("isl-bounding", { promptTokens, heldTokens: blocks * 16 })).toBe(isBypassed);
});

describe("a bypass rule", () => {
  it("takes a prompt for short below both of its bounds, and not at them", () => {
    expect(says("isl-bounding", { promptTokens: 8_000, heldTokens: 8_000 - 2_047 })).toBe(true);
    expect(says("isl-bounding", { promptTokens: 8_000, heldTokens: 8_000 - 2_048 })).toBe(false);
    expect(says("isl-bounding", { promptTokens: 1_000, heldTokens: 301 })).toBe(true);
    expect(says("isl-bounding", { promptTokens: 1_000, heldTokens: 300 })).toBe(false);
    expect(says("isl-bounding", { promptTokens: 0, heldTokens: 0 })).toBe(true);
    // More is held than there is, as by a prompt that is reused whole.
    expect(says("isl-bounding", { promptTokens: 10, heldTokens: 16 })).toBe(true);
  });

  it("takes a worker for busy above so many passes, and never one that nobody knows", () => {
    expect(says("prefill-load", { prefillTokens: 16_001 })).toBe(true);
    expect(says("prefill-load", { prefillTokens: 16_000 })).toBe(false);
    expect(says("prefill-load", { prefillTokens: 1e9, passTokens: undefined })).toBe(false);
    const short = { promptTokens: 1_000, heldTokens: 900 };
    const loaded = { prefillTokens: 16_001 };
    expect([{}, short, loaded, { ...short, ...loaded }].map((more) => says("isl-or-load", more))).toEqual([
      false,
      true,
      true,
      true,
    ]);
  });

  it("is overruled where the blocks for answers are nearly all in use, but not by a price that has it in", () => {
    const judged = (rule: BypassName, activeBlocks: number, totalBlocks = 1_000) => {
      const prices = { whole: 1, split: 2 };
      return judgeBypass(
        rule,
        { ...ASK, heldTokens: 7_000, prefillTokens: 1e6, activeBlocks, totalBlocks, prices },
        constants,
      );
    };
    for (const rule of ["isl-bounding", "prefill-load", "isl-or-load"] as const) {
      expect(judged(rule, 900)).toEqual({ isBypassed: true, isVetoed: false });
      expect(judged(rule, 901)).toEqual({ isBypassed: false, isVetoed: true });
      expect(judged(rule, 901, 0), "nobody knows how many there are").toEqual({ isBypassed: true, isVetoed: false });
    }
    expect(judged("priced", 901)).toEqual({ isBypassed: true, isVetoed: false });
    expect(judged("none", 0)).toEqual({ isBypassed: false, isVetoed: false });
  });

  it("takes the cheaper way, and that with two legs where both cost the same", () => {
    expect(says("priced", { prices: { whole: 4, split: 5 } })).toBe(true);
    expect(says("priced", { prices: { whole: 5, split: 5 } })).toBe(false);
  });
});
