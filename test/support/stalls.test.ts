import { describe, expect, it } from "vitest";
import { AFTER_STALL, StallMeter, stalls } from "./stalls.ts";

/** Lets nothing of this process run for so long. */
function standStill(forMs: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, forMs);
}

it("a meter counts what beats are late, and nothing where they are nearly in time", () => {
  let nowMs = 0;
  const meter = new StallMeter(() => nowMs);
  const beatAt = (ms: number) => {
    nowMs = ms;
    meter.beat();
  };
  for (const ms of [50, 100, 549]) beatAt(ms);
  expect(meter.stalledMs).toBe(0);
  expect(meter.stoodStillWithin(1e9)).toBe(false);
  beatAt(999);
  expect(meter.stalledMs).toBe(400);
  nowMs = 4_049;
  expect(meter.stalledMs, "a question is a beat too").toBe(3_400);
  beatAt(4_149);
  expect([99, 100].map((ms) => meter.stoodStillWithin(ms))).toEqual([false, true]);
});

describe("a test that failed", () => {
  let attempts = 0;

  it("begins again after a stall", { retry: { ...AFTER_STALL, delay: 0 } }, () => {
    attempts++;
    if (attempts > 1) return;
    standStill(600);
    throw new Error("the lease lapsed");
  });

  it("was really tried twice", () => {
    expect(attempts).toBe(2);
    expect(stalls.stalledMs).toBeGreaterThanOrEqual(500);
  });
});
