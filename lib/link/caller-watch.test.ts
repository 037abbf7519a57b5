import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { PongSchema, SubmitSchema } from "#gen/stator/worker/v1/link_pb";
import { CallerRig } from "../../test/support/link-rig.ts";
import { stepCaller } from "./caller-machine.ts";
import { type CallerRequest, createCallerState } from "./caller-state.ts";
import { forgiveOwnPause, stallBoundMs, suspicion } from "./caller-watch.ts";
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

const small = { stallFloorMs: 100, stallSteps: 4, pongTimeoutMs: 60, tickEveryMs: 10 };

/** A link that is watched by small bounds, with a request that has had output at 0 ms. */
function decoding(): { rig: CallerRig; request: CallerRequest } {
  const rig = new CallerRig(small);
  rig.welcome();
  const request = rig.accepted();
  request.outputs = 1;
  return { rig, request };
}

describe("suspicion", () => {
  it("begins when the oldest Ping was not answered for the bound, and not before", () => {
    const rig = new CallerRig(small);
    rig.welcome();
    rig.step({ kind: "ping" });
    rig.nowMs = 30;
    rig.step({ kind: "ping" });
    expect(suspicion(rig.state, 59)).toBeUndefined();
    expect(suspicion(rig.state, 60)).toEqual({ stalledMs: 60, why: "no pong" });
    rig.step({ kind: "pong", pong: create(PongSchema, { nonce: 1n }) });
    expect(suspicion(rig.state, 89)).toBeUndefined();
    expect(suspicion(rig.state, 90)).toEqual({ stalledMs: 60, why: "no pong" });
  });

  it("begins when a request makes no progress for the floor, and not before", () => {
    const { rig } = decoding();
    expect(suspicion(rig.state, 99)).toBeUndefined();
    expect(suspicion(rig.state, 100)).toEqual({ stalledMs: 100, why: "no progress" });
  });

  it("waits for so many median steps when these are longer than the floor, and not a moment longer", () => {
    const { rig } = decoding();
    rig.state.durationsUs.set([90_000, 10_000, 30_000, 40_000]);
    rig.state.durationCount = 4;
    expect(stallBoundMs(rig.state)).toBe(160);
    expect(suspicion(rig.state, 159)).toBeUndefined();
    expect(suspicion(rig.state, 160)).toMatchObject({ stalledMs: 160 });
    // Two long steps among many short ones: the floor holds.
    rig.state.durationsUs.fill(1_000).set([900_000, 900_000]);
    rig.state.durationCount = 1_000;
    expect(stallBoundMs(rig.state)).toBe(100);
  });

  it("is about the request that stood still the longest", () => {
    const { rig, request } = decoding();
    request.progressMs = 20;
    rig.nowMs = 10;
    const sent = rig.submit();
    expect(suspicion(rig.state, 110)).toEqual({ stalledMs: 100, why: "not accepted" });
    sent.progressMs = 30;
    expect(suspicion(rig.state, 119)).toBeUndefined();
    expect(suspicion(rig.state, 120)).toEqual({ stalledMs: 100, why: "no progress" });
    rig.step({ kind: "abandon", handle: request.handle });
    expect(suspicion(rig.state, 129)).toBeUndefined();
    expect(suspicion(rig.state, 130)).toEqual({ stalledMs: 100, why: "not accepted" });
  });

  it("counts the engine's work for a request without output, or while others wait, and not for one that decodes", () => {
    const { rig, request } = decoding();
    rig.state.workedMs = 50;
    expect(suspicion(rig.state, 100)).toBeDefined();
    rig.state.waitingRequests = 1;
    expect(suspicion(rig.state, 149)).toBeUndefined();
    expect(suspicion(rig.state, 150)).toEqual({ stalledMs: 100, why: "no progress" });
    rig.state.waitingRequests = 0;
    request.outputs = 0;
    expect(suspicion(rig.state, 149)).toBeUndefined();
    expect(suspicion(rig.state, 150)).toBeDefined();
    request.progressMs = 80;
    expect(suspicion(rig.state, 179)).toBeUndefined();
    expect(suspicion(rig.state, 180)).toBeDefined();
  });

  it("of an idle link there is none", () => {
    const rig = new CallerRig(small);
    rig.welcome();
    expect(suspicion(rig.state, 1_000_000)).toBeUndefined();
  });
});

describe("a tick that comes late", () => {
  it("by a whole period gives the time lost to all that is watched; a smaller delay is the clock's", () => {
    const late = (byMs: number) => {
      const { rig, request } = decoding();
      rig.step({ kind: "ping" });
      forgiveOwnPause(rig.state, 10 + byMs);
      expect(rig.state.tickMs).toBe(10 + byMs);
      return [request.progressMs, rig.state.unanswered[0]?.sentMs, rig.state.workedMs];
    };
    expect(late(9)).toEqual([0, 0, 0]);
    expect(late(10)).toEqual([10, 10, 10]);
    expect(late(500)).toEqual([500, 500, 500]);
  });

  it("is told from the last tick, and none is late in time", () => {
    const { rig, request } = decoding();
    for (const nowMs of [10, 20, 45]) forgiveOwnPause(rig.state, nowMs);
    expect(request.progressMs).toBe(15);
  });

  it("is told from the ticks before Welcome as well", () => {
    const rig = new CallerRig({ ...small, helloTimeoutMs: 1_000 });
    rig.tick(500);
    rig.step({ kind: "turn" });
    rig.welcome();
    const request = rig.submit();
    rig.tick(10);
    expect(request.progressMs).toBe(500);
  });
});
