import { expect, test } from "vitest";
import { prefillMs, prefillPasses, promptShareMs, promptTimes, tailTokens } from "./prompt-times.ts";
import type { PassShape, TimeModel, TimePrior } from "./time-model.ts";
import { NO_TIME, passMsOf } from "./time-prior.ts";

function modelOf(prior: Partial<TimePrior>, passTokens: number): TimeModel {
  const passMs = (shape: PassShape) => passMsOf({ ...NO_TIME, ...prior }, shape);
  return { passMs, passTokens, factor: 1, passes: 0, isGuess: false };
}

const ALONE = { decodeSequences: 0, decodeContextTokens: 0, poolTokens: 0 };
const BESIDE = { decodeSequences: 2, decodeContextTokens: 500, poolTokens: 0 };
const PARTS = {
  passMs: 1,
  prefillMs: 2,
  prefillTokenMs: 0.1,
  prefillSquareMs: 0.001,
  prefillContextMs: 0.01,
  decodeMs: 7,
};

/** The same, pass by pass. */
function passByPass(times: TimeModel, work: { tokens: number; contextTokens: number }, beside: typeof ALONE): number {
  const room = times.passTokens - beside.decodeSequences;
  let ms = 0;
  for (let done = 0; done < work.tokens; done += room) {
    const prefillTokens = Math.min(room, work.tokens - done);
    const prefillContextTokens = work.contextTokens + done + prefillTokens;
    ms += times.passMs({ ...beside, prefillTokens, prefillContextTokens });
  }
  return ms;
}

test("a prompt takes whole passes, each with the decoding beside it", () => {
  for (const beside of [ALONE, BESIDE]) {
    for (const tokens of [0, 1, 97, 98, 99, 100, 196, 250, 1_000, 12_345]) {
      const times = modelOf(PARTS, 100);
      const work = { tokens, contextTokens: 300 };
      expect(prefillMs(times, work, beside)).toBeCloseTo(passByPass(times, work, beside), 6);
    }
  }
});

/** Passes of an exact engine: of chunks as many as fit, and then what is left. */
function chunkByChunk(times: TimeModel, work: { tokens: number; contextTokens: number }, chunk: number): number {
  const end = work.contextTokens + work.tokens;
  const whole = end - (end % chunk);
  let ms = 0;
  for (let at = work.contextTokens; at < end; ) {
    const next = at < whole ? Math.min(whole, at + times.passTokens - (times.passTokens % chunk)) : end;
    ms += times.passMs({ ...ALONE, prefillTokens: next - at, prefillContextTokens: next });
    at = next;
  }
  return ms;
}

test("what is left of a prompt behind whole chunks takes a pass of its own", () => {
  const times = modelOf(PARTS, 200);
  for (const contextTokens of [0, 64, 640]) {
    for (const tokens of [1, 63, 64, 65, 100, 128, 191, 192, 193, 1_000, 12_345]) {
      const work = { tokens, contextTokens };
      const ms = prefillMs(times, { ...work, chunkTokens: 64 }, ALONE);
      expect(ms, `${tokens} behind ${contextTokens}`).toBeCloseTo(chunkByChunk(times, work, 64), 6);
      const passes = prefillPasses(times, { ...work, chunkTokens: 64 }, ALONE);
      expect(passes).toBe(chunkByChunk(modelOf({ passMs: 1 }, 200), work, 64));
    }
  }
  // Passes that hold no chunk, and nothing behind the last chunk.
  const small = { tokens: 100, contextTokens: 0, chunkTokens: 64 };
  expect(prefillMs(modelOf({ passMs: 1 }, 32), small, ALONE)).toBe(3);
  expect([tailTokens(small), tailTokens({ ...small, tokens: 128 }), tailTokens({ ...small, tokens: 36 })]).toEqual([
    36, 0, 0,
  ]);
});

test("behind others the chunks of a prompt share a pass with them, and what is left follows", () => {
  const times = modelOf({ passMs: 10, prefillTokenMs: 1 }, 1_000);
  const own = { tokens: 100, contextTokens: 0, chunkTokens: 64 };
  const of = (tokens: number) => promptTimes(times, { queued: { tokens, contextTokens: 0 }, own, beside: ALONE });
  expect(of(0)).toEqual({ waitMs: 0, ownMs: 120 });
  expect(of(50)).toEqual({ waitMs: 50, ownMs: 120 });
  expect(of(1_050)).toEqual({ waitMs: 1_010 + 50, ownMs: 120 });
});

test("a set that fills every pass leaves room for a token", () => {
  const crowd = { ...BESIDE, decodeSequences: 50 };
  expect(prefillMs(modelOf({ prefillTokenMs: 1, decodeMs: 2 }, 10), { tokens: 5, contextTokens: 0 }, crowd)).toBe(15);
});

test("waiting and computing add up to the passes of all", () => {
  const times = modelOf({ ...PARTS, prefillContextMs: 0 }, 100);
  const own = { tokens: 130, contextTokens: 40 };
  const wait = (tokens: number, beside = BESIDE) =>
    promptTimes(times, { queued: { tokens, contextTokens: 77 }, own, beside });
  for (const tokens of [1, 50, 98, 500, 1_001]) {
    const { waitMs, ownMs } = wait(tokens);
    expect(ownMs).toBe(prefillMs(times, own, BESIDE));
    expect(waitMs + ownMs).toBeCloseTo(prefillMs(times, { tokens: tokens + 130, contextTokens: 0 }, BESIDE), 6);
  }
  expect(wait(0).waitMs).toBe(0);
  const short = promptTimes(modelOf({ prefillMs: 16, prefillTokenMs: 0.015 }, 8192), {
    ...{ queued: { tokens: 100, contextTokens: 0 }, own: { tokens: 300, contextTokens: 0 }, beside: ALONE },
  });
  expect(short.waitMs, "a short queue shares a pass with the prompt").toBeCloseTo(1.5, 6);
});

test("prompts that wait attend to what they found in a cache", () => {
  const times = modelOf({ prefillContextMs: 0.01 }, 100);
  const own = { tokens: 100, contextTokens: 0 };
  const { waitMs } = promptTimes(times, { queued: { tokens: 200, contextTokens: 600 }, own, beside: ALONE });
  expect(waitMs, "two passes of 100 tokens and 300 before them").toBeCloseTo(8, 6);
});

test("of a pass that was seen, prompts have what decoding alone would not have taken", () => {
  const times = modelOf({ prefillTokenMs: 0.5, decodeMs: 10 }, 100);
  const levels = { usedBlocks: 0, totalBlocks: 0, runningRequests: 0, waitingRequests: 0, waitingTokens: 0 };
  const pass = (prefillTokens: number, decodeSequences: number) => ({
    ...{ rank: 0, durationUs: 40_000, prefillTokens, prefillContextTokens: prefillTokens, decodeSequences },
    ...{ decodeContextTokens: 0, ...levels, mergedSteps: 0 },
  });
  expect(promptShareMs(times, pass(0, 3), 0)).toBe(0);
  expect(promptShareMs(times, pass(0, 0), 0)).toBe(0);
  const whole = modelOf({ passMs: 10, prefillTokenMs: 1 }, 100);
  expect(promptShareMs(whole, pass(10, 0), 0), "nobody else caused the pass").toBe(40);
  expect(promptShareMs(whole, pass(10, 1), 0)).toBe(20);
  expect(promptShareMs(whole, pass(1, 1), 0)).toBeCloseTo(40 / 11, 9);
  expect(promptShareMs(times, pass(20, 0), 0)).toBe(40);
  expect(promptShareMs(times, pass(20, 3), 0)).toBe(20);
  expect(promptShareMs(modelOf({}, 100), pass(20, 3), 0), "a model that knows no time").toBe(0);
});
