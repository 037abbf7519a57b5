import { expect, test } from "vitest";
import type { PassRecord } from "#lib/perf/time-model";
import { NO_TIME, passMsOf } from "#lib/perf/time-prior";
import { timesFrom } from "./measure-times.ts";

const TRUTH = { ...NO_TIME, passMs: 2, prefillTokenMs: 0.4, decodeSequenceMs: 0.5 };

function passOf(prefillTokens: number, decodeSequences: number, slowness = 1): PassRecord {
  const prefill = { prefillTokens, prefillContextTokens: prefillTokens };
  const shape = { ...prefill, decodeSequences, decodeContextTokens: 90 * decodeSequences };
  const levels = { usedBlocks: 0, totalBlocks: 0, runningRequests: 0, waitingRequests: 0, waitingTokens: 0 };
  const durationUs = 1_000 * slowness * passMsOf(TRUTH, { ...shape, poolTokens: 0 });
  return { rank: 0, ...shape, durationUs, ...levels, mergedSteps: 0 };
}

test("the fastest of each kind makes a prior, whatever else ran meanwhile", () => {
  const prompts = [passOf(64, 0, 50), passOf(60, 0), passOf(64, 0, 3), passOf(8, 0, 0.01)];
  const decoding = [passOf(0, 1, 2), passOf(0, 1), passOf(0, 3), passOf(0, 3, 9)];
  expect(timesFrom([...prompts, passOf(20, 2, 0.01), ...decoding], 512)).toEqual({
    ...{ ...NO_TIME, passTokens: 512, prefillTokenMs: expect.closeTo(0.4 + 2 / 60, 9) },
    ...{ decodeMs: expect.closeTo(2, 9), decodeSequenceMs: expect.closeTo(0.5, 9) },
  });
});

test("what a context costs is seen where a lone sequence decoded behind a short and a long one", () => {
  const behind = (decodeContextTokens: number, durationUs: number) => ({
    ...passOf(0, 1),
    decodeContextTokens,
    durationUs,
  });
  const decoding = [behind(100, 2_000), behind(101, 3_000), behind(600, 9_000), behind(601, 4_000)];
  expect(timesFrom([passOf(64, 0), ...decoding], 512)).toMatchObject({ decodeMs: 2, decodeContextMs: 0.004 });
  const equal = [behind(100, 2_000), behind(600, 1_000)];
  expect(timesFrom([passOf(64, 0), ...equal], 512)).toMatchObject({ decodeMs: 1, decodeContextMs: 0 });
});

test("no part is below 0", () => {
  const faster = timesFrom([passOf(64, 0), passOf(0, 1), passOf(0, 3, 0.1)], 512);
  expect(faster).toMatchObject({ decodeMs: 2.5, decodeSequenceMs: 0 });
  const slower = timesFrom([passOf(64, 0), passOf(0, 1), passOf(0, 3, 100)], 512);
  expect(slower).toMatchObject({ decodeMs: 0, decodeSequenceMs: 2.5 });
});

test("a trial that did not decode, or computed no prompt, says nothing", () => {
  for (const passes of [[], [passOf(8, 0)], [passOf(0, 1)], [passOf(8, 1), passOf(0, 3)]]) {
    expect(timesFrom(passes, 512)).toBeUndefined();
  }
});
