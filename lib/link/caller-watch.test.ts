import { describe, expect, it } from "vitest";
import { stepCaller } from "./caller-machine.ts";
import { createCallerState } from "./caller-state.ts";
import { stallBoundMs } from "./caller-watch.ts";
import { LINK_LIMITS } from "./limits.ts";

function readyState() {
  const state = createCallerState({ limits: LINK_LIMITS, caller: "test", features: [], expect: {}, nowMs: 0 });
  state.link = "ready";
  return state;
}

describe("the watch over a worker", () => {
  it("does not blame the worker for a pause of its own process", () => {
    const state = readyState();
    stepCaller(state, { kind: "tick" }, 250);
    stepCaller(state, { kind: "tick" }, 500);
    // Ten seconds without a tick: whatever the worker sent in that time has not been read.
    stepCaller(state, { kind: "tick" }, 10_500);
    expect(state.link).toBe("ready");
    for (let nowMs = 10_750; nowMs <= 13_000; nowMs += 250) stepCaller(state, { kind: "tick" }, nowMs);
    expect(state.link).toBe("suspect");
  });

  it("waits for 20 median steps when those are long", () => {
    const state = readyState();
    expect(stallBoundMs(state)).toBe(5_000);
    state.durationsUs.set([400_000, 1_000_000, 2_000_000]);
    state.durationCount = 3;
    expect(stallBoundMs(state)).toBe(20_000);
  });
});
