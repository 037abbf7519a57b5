import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import { AcceptedSchema, CancelMode, LinkResponseSchema, PongSchema } from "#gen/stator/worker/v1/link_pb";
import { readU32, viewBytes, writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { CallerRig, submitOf } from "../../test/support/link-rig.ts";
import { responseEvents } from "./caller-machine.ts";
import { stepBytes } from "./step.ts";

const kindsOf = (init: MessageInitShape<typeof LinkResponseSchema>, maxBytes: number) =>
  responseEvents(create(LinkResponseSchema, init), maxBytes).map(({ kind }) => kind);

function ready(...options: ConstructorParameters<typeof CallerRig>): CallerRig {
  const rig = new CallerRig(...options);
  rig.welcome();
  return rig;
}

describe("a message to a caller", () => {
  it("comes as events in the order of its parts", () => {
    const all = { pong: {}, notice: {}, step: {}, accepted: {}, welcome: {} };
    expect(kindsOf(all, 100)).toEqual(["welcome", "accepted", "step", "notice", "pong"]);
    expect(kindsOf({}, 0)).toEqual([]);
  });

  it("may be as long as the limit and not a byte longer", () => {
    const four = writeU32([1]);
    const accepted = { handles: four, cachedTokens: writeU32([1, 2]), queuedAhead: writeU32([1, 2, 3]) };
    expect(kindsOf({ accepted }, 24)).toEqual(["accepted"]);
    expect(kindsOf({ accepted }, 23)).toEqual(["oversized"]);
    const step = { handles: four, tokens: writeU32([1, 2]) };
    expect(kindsOf({ step }, 12)).toEqual(["step"]);
    expect(kindsOf({ step }, 11)).toEqual(["oversized"]);
    expect(kindsOf({ accepted, step }, 36)).toEqual(["accepted", "step"]);
    expect(kindsOf({ accepted, step }, 35)).toEqual(["oversized"]);
  });

  const bytes = new Uint8Array(2_000);
  test.each([
    { logprobs: [{ handle: 1, chosen: bytes }] },
    { promptLogprobs: [{ handle: 1, chosen: bytes }] },
    { texts: [{ handle: 1, text: "x".repeat(2_000) }] },
    { embeddings: [{ handle: 1, values: bytes }] },
  ])("is weighed with its side lists, never above what it takes on a wire", (step) => {
    const message = create(LinkResponseSchema, { step });
    const wire = toBinary(LinkResponseSchema, message).length;
    expect(responseEvents(message, wire)).toMatchObject([{ kind: "step" }]);
    const weight = stepBytes(message.step!) / 2;
    expect(responseEvents(message, weight)).toMatchObject([{ kind: "step" }]);
    expect(responseEvents(message, weight - 1)).toEqual([{ kind: "oversized" }]);
  });
});

describe("a caller that waits for Welcome", () => {
  it("gives up at the bound, and not a moment before", () => {
    const rig = new CallerRig({ helloTimeoutMs: 100 });
    expect(rig.tick(99)).toEqual([]);
    const end = new CallerRig({ helloTimeoutMs: 100 });
    end.nowMs = 100;
    const [ended, closed] = end.step({ kind: "tick" });
    expect(ended).toMatchObject({ kind: "end", error: { reason: "WORKER_STALLED", facts: { stalledMs: 100 } } });
    expect(closed).toMatchObject({ kind: "state", state: "closed", reason: { reason: "WORKER_STALLED" } });
    expect(rig.tick(1)).toEqual(["end", "closed WORKER_STALLED"]);
  });

  it("refuses requests, and takes a ping along", () => {
    const rig = new CallerRig();
    expect(() => rig.submit()).toThrow(/the link is connecting/);
    expect(rig.kinds({ kind: "ping" })).toEqual(["pinged", "turn later"]);
    expect(rig.turn()).toMatchObject([{ hello: { minimumRevision: 1, maximumRevision: 1 }, ping: { nonce: 1n } }]);
  });

  test.each([
    ["it speaks revision 0, not 1 to 1", { revision: 0 }, {}],
    ["it speaks revision 2, not 1 to 1", { revision: 2 }, {}],
    ["instance 5 answered in place of 4", { instanceId: 5n }, { instanceId: 4n }],
    ["incarnation 5 answered in place of 4", { incarnation: 5n }, { incarnation: 4n }],
  ])("refuses another worker: %s", (detail, welcome, expected) => {
    const rig = new CallerRig({}, expected);
    const effects = rig.welcome(welcome);
    expect(effects.map(({ kind }) => kind)).toEqual(["end", "state"]);
    expect(effects[0]).toMatchObject({ error: { reason: "CONTRACT_MISMATCH", facts: { what: "The worker", detail } } });
    expect(rig.state).toMatchObject({ link: "closed", welcome: undefined });
  });

  it("takes the worker that is meant, and begins to watch it at that moment", () => {
    const rig = new CallerRig({ maxMessageBytes: 1_000 }, { instanceId: 1n, incarnation: 7n });
    rig.nowMs = 300;
    expect(rig.welcome({ maxMessageBytes: 600 }).map(({ kind }) => kind)).toEqual(["welcome", "state"]);
    expect(rig.state).toMatchObject({ link: "ready", maxMessageBytes: 600, tickMs: 300, workedMs: 300 });
  });

  it("never sends longer messages than it was going to, and heeds no limit of 0", () => {
    const [more, none, one] = [5_000, 0, 1].map((maxMessageBytes) => {
      const rig = new CallerRig({ maxMessageBytes: 1_000 });
      rig.welcome({ maxMessageBytes });
      return rig.state.maxMessageBytes;
    });
    expect([more, none, one]).toEqual([1_000, 1_000, 1]);
  });

  it("begins draining when the worker drains already", () => {
    const rig = new CallerRig();
    rig.welcome({ draining: true });
    expect(rig.state.link).toBe("draining");
    expect(() => rig.submit()).toThrow(expect.objectContaining({ reason: "DRAINING" }));
    expect(rig.notice(false)).toEqual(["notice", "ready"]);
    expect(rig.submit().handle).toBe(1);
  });
});

describe("a caller's requests", () => {
  it("may be open up to the bound, abandoned ones among them", () => {
    const rig = ready({ maxOpenHandles: 2 });
    const first = rig.submit();
    rig.submit();
    expect(() => rig.submit()).toThrow(expect.objectContaining({ reason: "OVERLOADED" }));
    rig.step({ kind: "abandon", handle: first.handle });
    expect(rig.state.openRequests).toBe(1);
    expect(() => rig.submit()).toThrow(expect.objectContaining({ reason: "OVERLOADED" }));
    rig.deliver({ finishes: [{ handle: first.handle }] });
    expect(rig.submit().handle).toBe(3);
    expect(rig.state.openRequests).toBe(2);
  });

  it("get the next number that is free; after the last comes the first again", () => {
    const rig = ready();
    expect(rig.submit().handle).toBe(1);
    rig.state.nextHandle = 0xffff_fffe;
    expect([rig.submit(), rig.submit(), rig.submit()].map(({ handle }) => handle)).toEqual([
      0xffff_fffe, 0xffff_ffff, 2,
    ]);
  });

  it("begin again with 1 after the last number", () => {
    const rig = ready();
    rig.state.nextHandle = 0xffff_ffff;
    expect([rig.submit(), rig.submit()].map(({ handle }) => handle)).toEqual([0xffff_ffff, 1]);
  });

  it("leave in two frames when the prompt is longer than one", () => {
    const rig = ready({ maxMessageBytes: 1_000 });
    rig.submit(submitOf(Array.from({ length: 200 }, (_, at) => at)));
    const messages = rig.turn();
    expect(messages.flatMap(({ submits }) => submits.map(({ handle, moreInput }) => [handle, moreInput]))).toEqual([
      [1, true],
    ]);
    expect(messages.flatMap(({ parts }) => parts.map(({ handle, last }) => [handle, last]))).toEqual([[1, true]]);
  });

  it("go on in parts with what was answered, to a worker that has the feature", () => {
    const rig = new CallerRig({ maxMessageBytes: 1_000 });
    rig.welcome({ features: ["parts"] });
    rig.submit(submitOf([1], { generatedTokenIds: new Uint8Array(1_000) }));
    const sent = rig.turn();
    const answered = sent.flatMap(({ submits, parts }) => [...submits, ...parts]).map((part) => part.generatedTokenIds);
    expect(sent.length).toBe(2);
    expect(Buffer.concat(answered)).toEqual(Buffer.alloc(1_000));
  });

  it("are refused by the error of the split, and leave nothing behind", () => {
    const rig = ready({ maxMessageBytes: 1_000 });
    const { listener } = ready().submit();
    const request = { handle: 0, phase: "unknown", outputs: 0, progressMs: 0, listener } as const;
    for (const [more, reason] of [
      [{ generatedTokenIds: new Uint8Array(1_000) }, "WORKER_OUTDATED"],
      [{ cacheSalt: "x".repeat(1_000) }, "INVALID_ARGUMENT"],
    ] as const) {
      const submit = submitOf([1], more);
      expect(rig.step({ kind: "submit", submit, request })).toMatchObject([{ kind: "refuse", error: { reason } }]);
    }
    expect(rig.state).toMatchObject({ openRequests: 0, outbox: { submits: [], parts: [] } });
    expect(rig.state.requests.size).toBe(0);
  });

  it("are cancelled by mode, once they are open, in the message of the turn", () => {
    const rig = ready();
    const [one, two] = [rig.submit(), rig.accepted()];
    expect(rig.kinds({ kind: "cancel", handle: 77, mode: CancelMode.KILL })).toEqual([]);
    rig.step({ kind: "cancel", handle: one.handle, mode: CancelMode.STOP });
    rig.step({ kind: "cancel", handle: two.handle, mode: CancelMode.KILL });
    const [message] = rig.turn();
    expect(message?.cancels.map(({ handles, mode }) => [[...readU32(handles)], mode])).toEqual([
      [[1], CancelMode.STOP],
      [[2], CancelMode.KILL],
    ]);
    rig.step({ kind: "abandon", handle: one.handle });
    rig.turn();
    expect(rig.kinds({ kind: "cancel", handle: one.handle, mode: CancelMode.KILL })).toEqual([]);
    expect(rig.turn()).toEqual([]);
  });

  it("call for the end of the turn: a cancel and an abandon as a submit does, once a turn", () => {
    const rig = ready();
    const request = {
      handle: 0,
      phase: "unknown",
      outputs: 0,
      progressMs: 0,
      listener: rig.submit().listener,
    } as const;
    rig.turn();
    expect(rig.kinds({ kind: "submit", submit: submitOf([1]), request: { ...request } })).toEqual(["turn later"]);
    expect(rig.kinds({ kind: "cancel", handle: 1, mode: CancelMode.STOP })).toEqual([]);
    rig.turn();
    expect(rig.kinds({ kind: "cancel", handle: 1, mode: CancelMode.STOP })).toEqual(["turn later"]);
    rig.turn();
    expect(rig.kinds({ kind: "abandon", handle: 1 })).toEqual(["turn later"]);
    expect(rig.kinds({ kind: "abandon", handle: 1 })).toEqual([]);
    expect(rig.state.openRequests).toBe(1);
  });
});

describe("Accepted", () => {
  const say = (rig: CallerRig, handles: Uint8Array, cachedTokens: Uint8Array, queuedAhead: Uint8Array) =>
    rig.step({ kind: "accepted", accepted: create(AcceptedSchema, { handles, cachedTokens, queuedAhead }) });

  it("tells each request what it found and who is ahead", () => {
    const rig = ready();
    rig.submit();
    rig.submit();
    rig.nowMs = 40;
    expect(say(rig, writeU32([2, 9, 1]), writeU32([20, 0, 10]), writeU32([3, 0, 4]))).toMatchObject([
      { kind: "accepted", request: { handle: 2, progressMs: 40 }, cachedTokens: 20, queuedAhead: 3 },
      { kind: "accepted", request: { handle: 1, progressMs: 40 }, cachedTokens: 10, queuedAhead: 4 },
    ]);
    expect(rig.state.counters.droppedFrames).toBe(1);
  });

  it("for an abandoned request is dropped and counted", () => {
    const rig = ready();
    rig.submit();
    rig.step({ kind: "abandon", handle: 1 });
    expect(rig.accept(1)).toEqual([]);
    expect(rig.state).toMatchObject({ link: "ready", counters: { droppedFrames: 1 } });
  });

  const [none, one, two] = [writeU32([]), writeU32([1]), writeU32([1, 2])];
  test.each([
    ["a torn array", new Uint8Array(3), one, one],
    ["a torn array", one, new Uint8Array(5), one],
    ["arrays of different lengths", one, two, one],
    ["arrays of different lengths", one, one, none],
  ])("with %s ends the link", (what, handles, cached, ahead) => {
    const rig = ready();
    rig.submit();
    const effects = say(rig, handles, cached, ahead);
    expect(effects.map(({ kind }) => kind)).toEqual(["end", "state", "lost"]);
    expect(effects[0]).toMatchObject({
      error: { reason: "CONTRACT_MISMATCH", facts: { detail: `Accepted has ${what}` } },
    });
    expect(effects[2]).toMatchObject({ accepted: false, error: { reason: "STREAM_LOST" } });
  });

  it("that comes twice ends the link at the second", () => {
    const rig = ready();
    rig.submit();
    const effects = rig.accept(1, 1);
    expect(effects.map(({ kind }) => kind)).toEqual(["accepted", "end", "state", "lost"]);
    expect(effects[1]).toMatchObject({ error: { facts: { detail: "handle 1 was accepted twice" } } });
    expect(effects[3]).toMatchObject({ accepted: true });
  });
});

describe("pings", () => {
  it("are measured each by its own answer, in any order; a Pong that nobody asked for says nothing", () => {
    const rig = ready();
    rig.step({ kind: "ping" });
    rig.nowMs = 10;
    rig.step({ kind: "ping" });
    rig.step({ kind: "ping" });
    const pong = (nonce: bigint) => rig.step({ kind: "pong", pong: create(PongSchema, { nonce }) });
    expect(pong(9n)).toEqual([]);
    rig.nowMs = 25;
    expect(pong(2n)).toEqual([{ kind: "pong", nonce: 2n, roundTripMs: 15 }]);
    expect(rig.state.unanswered.map(({ nonce }) => nonce)).toEqual([1n, 3n]);
    expect(pong(1n)).toEqual([{ kind: "pong", nonce: 1n, roundTripMs: 25 }]);
    rig.nowMs = 9;
    expect(pong(3n)).toEqual([{ kind: "pong", nonce: 3n, roundTripMs: 0 }]);
    expect(pong(3n)).toEqual([]);
  });

  it("go out with every tick until half of what the worker takes is unanswered", () => {
    const rig = ready({ maxUnansweredPings: 6, pongTimeoutMs: 1_000_000 });
    const asked = [1, 2, 3, 4].map(() => rig.tick(250).includes("pinged"));
    expect(asked).toEqual([true, true, true, false]);
    rig.step({ kind: "pong", pong: create(PongSchema, { nonce: 1n }) });
    expect(rig.tick(250)).toContain("pinged");
  });
});

describe("the end of a caller's link", () => {
  it("tells every request once, in the order of the handles, and whether it was accepted; an abandoned one is not told", () => {
    const rig = ready();
    // More than the table's first size, which keeps no order.
    for (let at = 0; at < 40; at++) rig.submit();
    rig.accept(3);
    rig.step({ kind: "abandon", handle: 5 });
    rig.step({ kind: "ping" });
    const effects = rig.step({ kind: "ended", error: undefined });
    const lost = effects.filter((effect) => effect.kind === "lost");
    const expected = Array.from({ length: 40 }, (_, at) => at + 1).filter((handle) => handle !== 5);
    expect(lost.map(({ request }) => request.handle)).toEqual(expected);
    expect(lost.filter(({ accepted }) => accepted).map(({ request }) => request.handle)).toEqual([3]);
    expect(lost[0]?.error.message).toContain("the worker ended it");
    expect(rig.state).toMatchObject({ link: "closed", openRequests: 0, unanswered: [] });
    expect(rig.state.requests.size).toBe(0);
    expect(lost.every(({ request }) => request.phase === "unknown")).toBe(true);
  });

  it("keeps the error of the stream as the cause, and says nothing to a peer that is gone", () => {
    const rig = ready();
    rig.submit();
    const error = new StatorError("UNAVAILABLE", { what: "The worker", detail: "reset" });
    const effects = rig.step({ kind: "ended", error });
    expect(effects[0]).toEqual({ kind: "end", error: undefined });
    expect(effects[1]).toEqual({ kind: "state", state: "closed", reason: error });
    expect(effects[2]).toMatchObject({ kind: "lost", error: { cause: error, facts: { detail: "UNAVAILABLE" } } });
  });

  it("by the owner takes along what waits, and Goodbye last", () => {
    const rig = ready();
    rig.submit();
    rig.step({ kind: "ping" });
    const effects = rig.step({ kind: "close" });
    expect(effects.map(({ kind }) => kind)).toEqual(["send", "end", "state", "lost"]);
    expect(effects[0]).toMatchObject({ message: { submits: [{ handle: 1 }], ping: { nonce: 1n }, goodbye: {} } });
    expect(effects[1]).toEqual({ kind: "end", error: undefined });
    expect(effects[3]).toMatchObject({ error: { facts: { detail: "it was closed here" } } });
    expect(() => rig.submit()).toThrow(/the link is closed/);
    expect(rig.kinds({ kind: "close" })).toEqual([]);
  });

  test.each([
    ["a message is longer than 900 bytes", { kind: "oversized" } as const],
    ["welcome while ready", { kind: "welcome", welcome: {} as never } as const],
  ])("by a violation names it: %s", (detail, event) => {
    const rig = ready({ maxMessageBytes: 900 });
    const [end, closed] = rig.step(event);
    expect(end).toMatchObject({ kind: "end", error: { reason: "CONTRACT_MISMATCH", facts: { detail } } });
    expect(closed).toMatchObject({ kind: "state", state: "closed", reason: { reason: "CONTRACT_MISMATCH" } });
  });
});

describe("a worker that drains", () => {
  it("is told of once; while it is suspect, nothing new is opened, and it comes back as draining", () => {
    const rig = ready({ pongTimeoutMs: 500 });
    expect(rig.notice(false)).toEqual(["notice"]);
    rig.tick(250);
    rig.tick(250);
    expect(rig.tick(250)).toContain("suspect WORKER_STALLED");
    expect(rig.submit().handle).toBe(1);
    expect(rig.notice(true)).toEqual(["notice"]);
    expect(rig.state.link).toBe("suspect");
    expect(() => rig.submit()).toThrow(expect.objectContaining({ reason: "DRAINING" }));
    for (const { nonce } of [...rig.state.unanswered]) rig.step({ kind: "pong", pong: create(PongSchema, { nonce }) });
    expect(rig.tick(250)).toEqual(["draining", "pinged"]);
    expect(rig.notice(true)).toEqual(["notice"]);
  });
});

describe("output before Accepted", () => {
  test.each([
    [{ handles: writeU32([1]), tokens: writeU32([5]) }, "handle 1 got tokens before it was accepted"],
    [{ texts: [{ handle: 1, text: "x" }] }, "handle 1 got output before it was accepted"],
    [
      { promptLogprobs: [{ handle: 1, position: 1, chosen: viewBytes(Float32Array.of(-1)) }] },
      "handle 1 got output before it was accepted",
    ],
  ])("ends the link", (step, detail) => {
    const rig = ready();
    rig.submit();
    const effects = rig.deliver(step);
    expect(effects.map(({ kind }) => kind)).toEqual(["end", "state", "lost"]);
    expect(effects[0]).toMatchObject({ error: { reason: "CONTRACT_MISMATCH", facts: { detail } } });
  });
});
