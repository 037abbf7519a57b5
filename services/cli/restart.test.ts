import { describe, expect, it } from "vitest";
import { isCrash, restartWaitMs } from "./restart.ts";

describe("a child that ended by itself", () => {
  it("is started at once when it was ready, and waits longer with each start that failed", () => {
    expect([0, 1, 2, 3, 4, 5, 6, 7, 2_000].map(restartWaitMs)).toEqual([
      0, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000,
    ]);
  });

  it("crashed, unless somebody ended it", () => {
    expect(isCrash({ code: null, signal: "SIGABRT" })).toBe(true);
    expect(isCrash({ code: null, signal: "SIGSEGV" })).toBe(true);
    expect(isCrash({ code: 1, signal: null })).toBe(true);
    expect(isCrash({ code: 0, signal: null })).toBe(false);
    expect(isCrash({ code: null, signal: "SIGKILL" })).toBe(false);
  });
});
