import { expect, test } from "vitest";
import { passMsOf } from "#lib/perf/time-prior";
import { type MockTiming, timesOf } from "./timing.ts";

const NOTHING = {
  prefillTokens: 0,
  prefillContextTokens: 0,
  decodeSequences: 0,
  decodeContextTokens: 0,
  poolTokens: 1000,
};

function ms(timing: MockTiming, shape: Partial<typeof NOTHING>): number {
  return passMsOf(timesOf(timing, 8192), { ...NOTHING, ...shape });
}

const POLYNOMIAL = { kind: "polynomial", speedup: 1, decodeSpeedup: 1 } as const;

test("the reference's figures hold", () => {
  const prefill = { 0: 0, 1: 16.5166, 128: 18.4518, 512: 24.3857, 1000: 32.1059, 4096: 85.756, 32768: 966.0765 };
  for (const [tokens, expected] of Object.entries(prefill))
    expect(ms(POLYNOMIAL, { prefillTokens: Number(tokens) })).toBeCloseTo(expected, 3);
  const decode = { 0: 5.74, 1: 6.2775, 10: 10.8836, 25: 17.6337, 50: 26.31, 75: 31.7688, 100: 34.01, 150: 34.01 };
  for (const [percent, expected] of Object.entries(decode))
    expect(ms(POLYNOMIAL, { decodeSequences: 1, decodeContextTokens: Number(percent) * 10 })).toBeCloseTo(expected, 3);
});

test("a step takes what its parts take, and a decode step never less than 1 ms", () => {
  const mixed = { prefillTokens: 128, prefillContextTokens: 300, decodeSequences: 4, decodeContextTokens: 200 };
  const decode = { decodeSequences: 4, decodeContextTokens: 500 };
  expect(ms({ ...POLYNOMIAL, speedup: 2 }, mixed), "contexts of prompts fill the pool too").toBeCloseTo(
    (18.4518 + 26.31) / 2,
    3,
  );
  expect(ms({ ...POLYNOMIAL, decodeSpeedup: 2 }, mixed)).toBeCloseTo(18.4518 + 26.31 / 2, 3);
  expect(ms({ ...POLYNOMIAL, speedup: 1000 }, decode)).toBe(1);
  expect(ms({ ...POLYNOMIAL, speedup: 0 }, { ...mixed, ...decode })).toBe(0);
  expect(ms({ ...POLYNOMIAL, decodeSpeedup: 0 }, mixed)).toBeCloseTo(18.4518, 3);
  expect(ms(POLYNOMIAL, { ...decode, poolTokens: 0 }), "a pool of nothing is full").toBeCloseTo(34.01, 3);
  const linear = { kind: "linear", stepMs: 1, prefillTokenMs: 0.5, decodeSequenceMs: 2 } as const;
  expect(ms(linear, mixed)).toBe(1 + 64 + 8);
  expect(ms({ kind: "instant" }, mixed)).toBe(0);
});
