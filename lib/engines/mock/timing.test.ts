import { expect, test } from "vitest";
import { polynomialDecodeMs, polynomialPrefillMs, stepDurationMs } from "./timing.ts";

test("the reference's figures hold", () => {
  const prefill = { 0: 0, 1: 16.5166, 128: 18.4518, 512: 24.3857, 1000: 32.1059, 4096: 85.756, 32768: 966.0765 };
  for (const [tokens, ms] of Object.entries(prefill)) expect(polynomialPrefillMs(Number(tokens))).toBeCloseTo(ms, 3);
  const decode = { 0: 5.74, 1: 6.2775, 10: 10.8836, 25: 17.6337, 50: 26.31, 75: 31.7688, 100: 34.01 };
  for (const [percent, ms] of Object.entries(decode))
    expect(polynomialDecodeMs(Number(percent) / 100)).toBeCloseTo(ms, 3);
});

test("a step takes what its parts take, and a decode step never less than 1 ms", () => {
  const load = { prefillTokens: 128, decodeSequences: 4, activeTokens: 500, totalTokens: 1000 };
  const polynomial = { kind: "polynomial", speedup: 2, decodeSpeedup: 1 } as const;
  expect(stepDurationMs(polynomial, load)).toBeCloseTo((18.4518 + 26.31) / 2, 3);
  expect(stepDurationMs({ ...polynomial, speedup: 1000 }, { ...load, prefillTokens: 0 })).toBe(1);
  expect(stepDurationMs({ ...polynomial, speedup: 0 }, load)).toBe(0);
  expect(stepDurationMs({ ...polynomial, speedup: 1 }, { ...load, prefillTokens: 0, totalTokens: 0 })).toBe(34.01);
  const linear = { kind: "linear", stepMs: 1, prefillTokenMs: 0.5, decodeSequenceMs: 2 } as const;
  expect(stepDurationMs(linear, load)).toBe(1 + 64 + 8);
});
