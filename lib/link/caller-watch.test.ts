import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { PongSchema, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { stepCaller } from "./caller-machine.ts";
import { type CallerRequest, createCallerState } from "./caller-state.ts";
import { stallBoundMs, suspicion } from "./caller-watch.ts";
import { LINK_LIMITS } from "./limits.ts";
import type { RequestListener } from "./link.ts";

const unheard: RequestListener = {
  onAccepted() {},
  onTokens() {},
  onText() {},
  onEmbedding() {},
  onFinish() {},
  onLost() {},
};

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

  it("distrusts a worker that answers every Ping and accepts nothing", () => {
    const state = readyState();
    const request: CallerRequest = { handle: 0, phase: "unknown", outputs: 0, progressMs: 0, listener: unheard };
    stepCaller(state, { kind: "submit", submit: create(SubmitSchema, { model: "m" }), request }, 0);
    for (let nowMs = 250; nowMs <= 5_000; nowMs += 250) {
      expect(state.link).toBe("ready");
      // The engine works for others meanwhile.
      state.workedMs = nowMs;
      stepCaller(state, { kind: "tick" }, nowMs);
      for (const { nonce } of [...state.unanswered])
        stepCaller(state, { kind: "pong", pong: create(PongSchema, { nonce }) }, nowMs);
    }
    expect(state.link).toBe("suspect");
    expect(suspicion(state, 5_000)).toEqual({ stalledMs: 5_000, why: "not accepted" });
  });

  it("waits for 20 median steps when those are long", () => {
    const state = readyState();
    expect(stallBoundMs(state)).toBe(5_000);
    state.durationsUs.set([400_000, 1_000_000, 2_000_000]);
    state.durationCount = 3;
    expect(stallBoundMs(state)).toBe(20_000);
  });
});
