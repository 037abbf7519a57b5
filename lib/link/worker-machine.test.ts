import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import {
  CancelMode,
  CancelSchema,
  FinishReason,
  GuidanceForm,
  InputPartSchema,
  LinkRequestSchema,
  NoticeSchema,
  PingSchema,
  StepSchema,
} from "#gen/stator/worker/v1/link_pb";
import { readU32, writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { submitOf, WorkerRig } from "../../test/support/link-rig.ts";
import { stepBytes } from "./step.ts";
import { requestEvents } from "./worker-machine.ts";

const kindsOf = (init: MessageInitShape<typeof LinkRequestSchema>, maxBytes: number) =>
  requestEvents(create(LinkRequestSchema, init), maxBytes).map(({ kind }) => kind);

const partOf = (init: MessageInitShape<typeof InputPartSchema>) =>
  ({ kind: "part", part: create(InputPartSchema, init) }) as const;

const cancelOf = (handles: number[] | Uint8Array, mode: CancelMode = CancelMode.STOP) => {
  const named = handles instanceof Uint8Array ? handles : writeU32(handles);
  return { kind: "cancel", cancel: create(CancelSchema, { handles: named, mode }) } as const;
};

const stepOf = (init: MessageInitShape<typeof StepSchema> = {}) =>
  ({ kind: "step", step: create(StepSchema, init) }) as const;

describe("a message to a worker", () => {
  it("comes as events in the order of its parts", () => {
    const all = { goodbye: {}, ping: {}, cancels: [{}, {}], parts: [{}, {}], submits: [{}, {}], hello: {} };
    const kinds = ["hello", "submit", "submit", "part", "part", "cancel", "cancel", "ping", "goodbye"];
    expect(kindsOf(all, 100)).toEqual(kinds);
    expect(kindsOf({}, 0)).toEqual([]);
  });

  const ten = new Uint8Array(10);
  test.each([
    ["prompts", { submits: [{ promptTokenIds: ten }, { promptText: "0123456789" }] }, 20],
    ["generated tokens", { submits: [{ generatedTokenIds: ten }] }, 10],
    ["the text of a form", { submits: [{ guidance: { text: ten } }] }, 10],
    ["settings of an engine", { submits: [{ engineExtras: ten }] }, 10],
    ["parts of an answer and a form", { parts: [{ generatedTokenIds: ten }, { guidanceText: ten }] }, 20],
    ["a grammar", { submits: [{ guidance: { grammar: "0123456789" } }] }, 10],
    ["parts", { parts: [{ promptTokenIds: ten }, { promptText: "0123456789" }] }, 20],
    ["cancels", { cancels: [{ handles: ten }, { handles: ten }] }, 20],
  ] satisfies [string, MessageInitShape<typeof LinkRequestSchema>, number][])(
    "may be as long as the limit and not a byte longer, counting %s",
    (_what, init, bytes) => {
      expect(kindsOf(init, bytes)).not.toContain("oversized");
      expect(kindsOf(init, bytes - 1)).toEqual(["oversized"]);
    },
  );
});

describe("a worker that waits for Hello", () => {
  it("gives up at the bound, and not a moment before", () => {
    const rig = new WorkerRig({ helloTimeoutMs: 100 });
    rig.nowMs = 99;
    expect(rig.ends({ kind: "tick" })).toBeUndefined();
    rig.nowMs = 100;
    expect(rig.ends({ kind: "tick" })).toContain("CONTRACT_MISMATCH");
    expect(rig.state.link).toBe("closed");
  });

  test.each([
    [1, 1],
    [0, 1],
    [1, 9],
    [0, 9],
  ])("speaks revision 1 with a caller of %i to %i", (minimumRevision, maximumRevision) => {
    const rig = new WorkerRig();
    expect(rig.hello({ minimumRevision, maximumRevision }).map(({ kind }) => kind)).toEqual(["turn later"]);
    expect(rig.turn()).toMatchObject([{ welcome: { revision: 1, instanceId: 1n, incarnation: 7n } }]);
    expect(rig.state).toMatchObject({ link: "open", caller: "test/1" });
  });

  test.each([
    [0, 0],
    [2, 3],
    [2, 1],
  ])("refuses a caller of revisions %i to %i, and says what is spoken", (minimumRevision, maximumRevision) => {
    const rig = new WorkerRig();
    const effects = rig.hello({ minimumRevision, maximumRevision });
    const detail = `revisions ${minimumRevision} to ${maximumRevision} were offered, 1 to 1 are spoken`;
    expect(effects).toMatchObject([
      { kind: "end", error: { reason: "CONTRACT_MISMATCH", facts: { what: "The caller", detail } } },
      { kind: "gone", error: { reason: "CONTRACT_MISMATCH" } },
    ]);
  });

  it("names its own limit, and the features that both have", () => {
    const rig = new WorkerRig({ maxMessageBytes: 9_000 });
    rig.introduction = { ...rig.introduction, features: ["a", "b", "c"] };
    rig.hello({ features: ["c", "d", "a"] });
    expect(rig.turn()).toMatchObject([{ welcome: { maxMessageBytes: 9_000, features: ["a", "c"] } }]);
  });

  it("begins draining when it drains already", () => {
    const rig = new WorkerRig();
    rig.introduction = { ...rig.introduction, draining: true };
    rig.open().submit(1);
    expect(rig.state.link).toBe("draining");
    expect(rig.refusals()).toEqual(["1 DRAINING"]);
  });

  it("ends in order without a word when its owner closes it", () => {
    const rig = new WorkerRig();
    expect(rig.step({ kind: "close", error: undefined })).toEqual([
      { kind: "end", error: undefined },
      { kind: "gone", error: undefined },
    ]);
  });
});

describe("requests of one caller", () => {
  it("may be open up to the bound, those whose prompt is gathered among them; one more is refused and leaves no trace", () => {
    const rig = new WorkerRig({ maxOpenHandles: 2 }).open();
    rig.run(1);
    rig.submit(2, { moreInput: true });
    expect(rig.submit(3)).toEqual([{ kind: "turn later" }]);
    expect(rig.refusals()).toEqual(["3 OVERLOADED"]);
    expect(rig.state.requests.size).toBe(2);
    expect(rig.state.counters.refused).toBe(1);
    rig.step(stepOf({ finishes: [{ handle: 1, reason: FinishReason.END }] }));
    expect(rig.submit(3)).toMatchObject([{ kind: "offer", handle: 3 }]);
  });

  test.each([
    [0, "handle 0 is never used"],
    [1, "handle 1 is open already"],
    [2, "handle 2 is open already"],
  ])("end the link when they use handle %i", (handle, detail) => {
    for (const draining of [false, true]) {
      const rig = new WorkerRig().open();
      rig.run(1);
      rig.submit(2, { moreInput: true });
      if (draining) rig.step({ kind: "notice", notice: create(NoticeSchema, { draining }) });
      const effects = rig.submit(handle);
      expect(effects.map(({ kind }) => kind)).toEqual(["end", "gone"]);
      expect(effects[0]).toMatchObject({ error: { reason: "CONTRACT_MISMATCH", facts: { detail } } });
      expect(rig.refusals()).toEqual([]);
    }
  });

  it("are told to the caller when the engine took them, with what it found and who is ahead", () => {
    const rig = new WorkerRig().open();
    for (const handle of [1, 2]) rig.submit(handle);
    rig.step({ kind: "took", handle: 2, cachedTokens: 20, queuedAhead: 3 });
    rig.step({ kind: "took", handle: 1, cachedTokens: 10, queuedAhead: 4 });
    expect(rig.step({ kind: "took", handle: 1, cachedTokens: 10, queuedAhead: 4 })).toEqual([]);
    expect(rig.step({ kind: "took", handle: 9, cachedTokens: 10, queuedAhead: 4 })).toEqual([]);
    const accepted = rig.turn()[0]?.accepted;
    expect(
      [accepted?.handles, accepted?.cachedTokens, accepted?.queuedAhead].map((each) => [...readU32(each!)]),
    ).toEqual([
      [2, 1],
      [20, 10],
      [3, 4],
    ]);
    expect(rig.turn()).toEqual([]);
  });

  it("end with the engine's refusal, unless they run by then", () => {
    const rig = new WorkerRig().open();
    rig.submit(1);
    const error = new StatorError("MODEL_NOT_FOUND", { model: "x" });
    expect(rig.step({ kind: "refused", handle: 1, error })).toEqual([{ kind: "turn later" }]);
    expect(rig.refusals()).toEqual(["1 MODEL_NOT_FOUND"]);
    rig.run(2);
    rig.step({ kind: "refused", handle: 2, error });
    rig.step({ kind: "refused", handle: 9, error });
    expect(rig.refusals()).toEqual([]);
  });
});

describe("a request in parts", () => {
  it("is offered whole at its last part, tokens and text in order", () => {
    const rig = new WorkerRig().open();
    expect(rig.submit(1, { promptTokenIds: writeU32([1, 2]), promptText: "a", moreInput: true })).toEqual([]);
    expect(rig.step(partOf({ handle: 1, promptTokenIds: writeU32([3]), promptText: "b" }))).toEqual([]);
    const [offer] = rig.step(partOf({ handle: 1, promptTokenIds: writeU32([4]), promptText: "c", last: true }));
    expect(offer).toMatchObject({
      kind: "offer",
      handle: 1,
      submit: { promptText: "abc", moreInput: false, model: "m" },
    });
    const ids = offer?.kind === "offer" ? [...readU32(offer.submit.promptTokenIds)] : [];
    expect(ids).toEqual([1, 2, 3, 4]);
  });

  it("is offered with the answer so far and the form of all frames", () => {
    const rig = new WorkerRig().open();
    const guidance = { form: GuidanceForm.GRAMMAR, text: Buffer.from("root ") };
    rig.submit(1, { generatedTokenIds: writeU32([5]), guidance, moreInput: true });
    rig.step(partOf({ handle: 1, generatedTokenIds: writeU32([6, 7]), guidanceText: Buffer.from("::= ") }));
    const [offer] = rig.step(partOf({ handle: 1, guidanceText: Buffer.from('"a"'), last: true }));
    if (offer?.kind !== "offer") throw new Error("it is offered");
    const { generatedTokenIds, guidance: form } = offer.submit;
    expect([...readU32(generatedTokenIds)]).toEqual([5, 6, 7]);
    expect([form?.form, Buffer.from(form?.text ?? []).toString()]).toEqual([GuidanceForm.GRAMMAR, 'root ::= "a"']);
  });

  it.each([
    ["prompt tokens", { promptTokenIds: new Uint8Array(4) }],
    ["prompt text", { promptText: "abcd" }],
    ["an answer", { generatedTokenIds: new Uint8Array(4) }],
    ["a form", { guidanceText: new Uint8Array(4) }],
  ])("counts %s", (_what, part) => {
    for (const maxInputBytes of [8, 7]) {
      const rig = new WorkerRig({ maxInputBytes }).open();
      rig.submit(1, { promptTokenIds: new Uint8Array(0), guidance: { text: new Uint8Array(4) }, moreInput: true });
      rig.step(partOf({ handle: 1, ...part }));
      expect(rig.refusals()).toEqual(maxInputBytes < 8 ? ["1 INVALID_ARGUMENT"] : []);
    }
  });

  it("may be refused at its first frame", () => {
    const rig = new WorkerRig({ maxInputBytes: 7 }).open();
    rig.submit(1, { promptTokenIds: new Uint8Array(8), moreInput: true });
    expect(rig.refusals()).toEqual(["1 INVALID_ARGUMENT"]);
    expect(rig.state.gatheredBytes).toBe(0);
  });

  it("is refused when all that are gathered are more than the bound of a link, and the others go on", () => {
    // Two frames of 64 bytes each, and 64 beside the tokens of each.
    const rig = new WorkerRig({ maxGatheredBytes: 2 * (64 + 64 + 8) }).open();
    for (const handle of [1, 2]) rig.submit(handle, { promptTokenIds: new Uint8Array(8), moreInput: true });
    expect(rig.refusals()).toEqual([]);
    rig.submit(3, { promptTokenIds: new Uint8Array(0), moreInput: true });
    rig.step(partOf({ handle: 3, promptTokenIds: new Uint8Array(8) }));
    expect(rig.refusals()).toEqual(["3 OVERLOADED"]);
    rig.step(partOf({ handle: 1 }));
    expect(rig.refusals()).toEqual(["3 OVERLOADED", "1 OVERLOADED"]);
    expect(rig.step(partOf({ handle: 2, last: true }))).toMatchObject([{ kind: "offer", handle: 2 }]);
    expect(rig.state.gatheredBytes).toBe(0);
  });

  it("weighs nothing any more when it was offered or cancelled, or the link ended", () => {
    const rig = new WorkerRig().open();
    for (const handle of [1, 2, 3]) rig.submit(handle, { moreInput: true });
    expect(rig.state.gatheredBytes).toBe(3 * (64 + 64 + 4));
    rig.step(partOf({ handle: 1, last: true }));
    expect(rig.state.gatheredBytes).toBe(2 * (64 + 64 + 4));
    rig.step(cancelOf([2]));
    expect(rig.state.gatheredBytes).toBe(64 + 64 + 4);
    rig.step({ kind: "close", error: undefined });
    expect(rig.state.gatheredBytes).toBe(0);
  });

  it("may be as long as the bound; a byte more is refused, and what follows is ignored", () => {
    for (const [bytes, refused] of [
      [20, []],
      [21, ["1 INVALID_ARGUMENT"]],
    ] as const) {
      // biome-ignore format: a case a line
      const rig = new WorkerRig({ maxInputBytes: 20 }).open();
      rig.submit(1, { promptTokenIds: writeU32([1, 2]), promptText: "ab", moreInput: true });
      rig.step(partOf({ handle: 1, promptTokenIds: writeU32([3]), promptText: "x".repeat(bytes - 14) }));
      expect(rig.refusals()).toEqual(refused);
      expect(rig.state.requests.size).toBe(1 - refused.length);
      const offered = rig.step(partOf({ handle: 1, last: true })).some(({ kind }) => kind === "offer");
      expect(offered).toBe(refused.length === 0);
      expect(rig.state.counters.ignored).toBe(refused.length);
    }
  });

  it("that is too long at its last part is refused as well", () => {
    const rig = new WorkerRig({ maxInputBytes: 20 }).open();
    rig.submit(1, { moreInput: true });
    const effects = rig.step(partOf({ handle: 1, promptText: "x".repeat(21), last: true }));
    expect(effects).toEqual([{ kind: "turn later" }]);
    expect(rig.refusals()).toEqual(["1 INVALID_ARGUMENT"]);
  });

  it("ends the link when it goes on behind its end, and is ignored when nobody knows it", () => {
    const rig = new WorkerRig().open();
    rig.run(1);
    expect(rig.step(partOf({ handle: 9 }))).toEqual([]);
    expect(rig.state.counters.ignored).toBe(1);
    expect(rig.ends(partOf({ handle: 1 }))).toContain("handle 1 is complete already");
  });
});

describe("a cancel", () => {
  it("goes to the engine for what runs, ends what is gathered, and is counted for what nobody knows", () => {
    const rig = new WorkerRig().open();
    rig.run(1);
    rig.submit(2, { moreInput: true });
    rig.run(3);
    const effects = rig.step(cancelOf([3, 2, 9, 1], CancelMode.KILL));
    expect(effects.at(-1)).toEqual({ kind: "cancel", handles: Uint32Array.of(3, 1), mode: CancelMode.KILL });
    expect(rig.refusals()).toEqual([`2 ${FinishReason.CANCELLED}`]);
    expect(rig.state.counters.ignored).toBe(1);
    expect(rig.state.requests.size).toBe(2);
  });

  it("of an unknown mode stops, and one that names nothing that runs says nothing", () => {
    const rig = new WorkerRig().open();
    rig.run(1);
    for (const mode of [CancelMode.UNSPECIFIED, CancelMode.STOP, 77 as CancelMode]) {
      expect(rig.step(cancelOf([1], mode))).toEqual([
        { kind: "cancel", handles: Uint32Array.of(1), mode: CancelMode.STOP },
      ]);
    }
    expect(rig.step(cancelOf([8, 9]))).toEqual([]);
    expect(rig.step(cancelOf([]))).toEqual([]);
  });

  it("with a torn array ends the link", () => {
    const rig = new WorkerRig().open();
    expect(rig.ends(cancelOf(new Uint8Array(3)))).toContain("Cancel has a torn array");
    expect(rig.state.link).toBe("closed");
  });
});

describe("what a worker says", () => {
  it("answers each ping of a turn, up to the bound", () => {
    const rig = new WorkerRig({ maxUnansweredPings: 2 }).open();
    const ping = (nonce: bigint) => ({ kind: "ping", ping: create(PingSchema, { nonce }) }) as const;
    expect(rig.step(ping(5n))).toEqual([{ kind: "turn later" }]);
    expect(rig.ends(ping(6n))).toBeUndefined();
    expect(rig.turn().map(({ pong }) => pong?.nonce)).toEqual([5n, 6n]);
    for (const nonce of [7n, 8n]) rig.step(ping(nonce));
    expect(rig.ends(ping(9n))).toContain("too many pings at a time");
  });

  it("calls for the end of the turn once, whatever it says", () => {
    const rig = new WorkerRig().open();
    expect(rig.step(stepOf())).toEqual([{ kind: "turn later" }]);
    expect(rig.step(stepOf())).toEqual([]);
    rig.turn();
    rig.submit(1);
    expect(rig.step({ kind: "took", handle: 1, cachedTokens: 0, queuedAhead: 0 })).toEqual([{ kind: "turn later" }]);
    rig.turn();
    expect(rig.step({ kind: "notice", notice: create(NoticeSchema, { draining: true }) })).toEqual([
      { kind: "turn later" },
    ]);
    expect(rig.turn()).toMatchObject([{ notice: { draining: true } }]);
  });

  it("says in one Notice of a turn all that was noticed: the last state, and the models of whoever named them last", () => {
    const rig = new WorkerRig().open();
    const say = (draining: boolean, models?: string[]) =>
      rig.step({
        kind: "notice",
        notice: create(NoticeSchema, { draining, modelsChanged: models !== undefined, models }),
      });
    say(false, ["a"]);
    say(false, ["a", "b"]);
    say(true);
    expect(rig.turn()).toMatchObject([{ notice: { draining: true, modelsChanged: true, models: ["a", "b"] } }]);
    say(false);
    expect(rig.turn()).toMatchObject([{ notice: { draining: false, modelsChanged: false, models: [] } }]);
    say(true);
    say(true, ["c"]);
    expect(rig.turn()).toMatchObject([{ notice: { draining: true, modelsChanged: true, models: ["c"] } }]);
  });

  it("drains and opens again by Notice", () => {
    const rig = new WorkerRig().open();
    rig.step({ kind: "notice", notice: create(NoticeSchema, { draining: true }) });
    rig.submit(1);
    expect(rig.refusals()).toEqual(["1 DRAINING"]);
    rig.step({ kind: "notice", notice: create(NoticeSchema, { draining: false }) });
    expect(rig.submit(2)).toMatchObject([{ kind: "offer" }]);
  });

  it("ends a handle once: a Finish of a request that does not run is taken out of the step and counted", () => {
    const rig = new WorkerRig().open();
    rig.run(1);
    rig.submit(2, { moreInput: true });
    const finish = (handle: number) => ({ handle, reason: FinishReason.END });
    rig.step(stepOf({ finishes: [finish(1), finish(2), finish(9)] }));
    rig.step(stepOf({ finishes: [finish(1)] }));
    expect(rig.state.counters).toMatchObject({ steps: 2, ignored: 3 });
    expect(rig.turn().map(({ step }) => step?.finishes.map(({ handle }) => handle))).toEqual([[1], []]);
    expect(rig.state.requests.size).toBe(1);
  });
});

describe("a caller that does not read", () => {
  it("gets what waits while the send buffer holds no more than the bound, and waits for room above it", () => {
    const rig = new WorkerRig({ mergeAboveBytes: 100 }).open();
    rig.step(stepOf());
    expect(rig.step({ kind: "turn", bufferedBytes: 101 })).toEqual([{ kind: "turn on room" }]);
    // The turn is coming already: nobody calls for another one.
    expect(rig.step(stepOf())).toEqual([]);
    expect(rig.turn(100)).toMatchObject([{ step: { mergedSteps: 1 } }]);
    expect(rig.state.counters.mergedSteps).toBe(1);
    rig.step(stepOf());
    rig.step(stepOf());
    expect(rig.turn(100)).toHaveLength(2);
    expect(rig.turn(101)).toEqual([]);
    expect(rig.step({ kind: "turn", bufferedBytes: 101 })).toEqual([]);
  });

  it("is cut off when more than the bound waits for it, and not before", () => {
    const step = stepOf({ tokens: new Uint8Array(104) });
    const rig = new WorkerRig({ maxPendingBytes: 2 * stepBytes(step.step) }).open();
    expect(rig.ends(step)).toBeUndefined();
    expect(rig.ends(stepOf({ tokens: new Uint8Array(104) }))).toBeUndefined();
    expect(rig.ends(stepOf())).toContain("LIMIT");
    expect(rig.state.link).toBe("closed");
  });

  it("is cut off by a single step that is longer than the bound, by a byte", () => {
    const step = () => stepOf({ tokens: new Uint8Array(104) });
    const bytes = stepBytes(step().step);
    expect(new WorkerRig({ maxPendingBytes: bytes }).open().ends(step())).toBeUndefined();
    expect(new WorkerRig({ maxPendingBytes: bytes - 1 }).open().ends(step())).toContain("LIMIT");
  });

  it("is not cut off for what has left", () => {
    const step = () => stepOf({ tokens: new Uint8Array(104) });
    const rig = new WorkerRig({ maxPendingBytes: stepBytes(step().step) }).open();
    for (let at = 0; at < 5; at++) {
      expect(rig.ends(step())).toBeUndefined();
      rig.turn();
    }
  });
});

describe("the end of a worker's link", () => {
  it("in order lets out what was said, whatever the send buffer holds; a broken one lets out nothing", () => {
    const said = (error: StatorError | undefined) => {
      const rig = new WorkerRig({ mergeAboveBytes: 0 }).open();
      rig.step(stepOf());
      rig.turn(1);
      const effects = rig.step({ kind: "close", error });
      expect(rig.state.requests.size).toBe(0);
      return effects;
    };
    expect(said(undefined).map(({ kind }) => kind)).toEqual(["send", "end", "gone"]);
    const error = new StatorError("DRAINING", { what: "The worker" });
    expect(said(error)).toEqual([
      { kind: "end", error },
      { kind: "gone", error },
    ]);
  });

  it("by the caller tells the owner why, and nothing to the caller", () => {
    const rig = new WorkerRig().open();
    const error = new StatorError("UNAVAILABLE", { what: "The caller", detail: "reset" });
    rig.run(1);
    expect(rig.step({ kind: "ended", error })).toEqual([
      { kind: "end", error: undefined },
      { kind: "gone", error },
    ]);
    expect(rig.state.requests.size).toBe(0);
    expect(rig.step({ kind: "oversized" })).toEqual([]);
  });

  it("comes when a message is too long, or when something may not be said now", () => {
    expect(new WorkerRig({ maxMessageBytes: 900 }).open().ends({ kind: "oversized" })).toContain(
      "longer than 900 bytes",
    );
    expect(new WorkerRig().ends({ kind: "goodbye" })).toContain("goodbye while waiting");
  });

  it("is near after Goodbye: what is open goes on, and nothing new is opened", () => {
    const rig = new WorkerRig().open();
    rig.run(1);
    expect(rig.step({ kind: "goodbye" })).toEqual([]);
    expect(rig.step(stepOf({ finishes: [{ handle: 1 }] }))).toEqual([{ kind: "turn later" }]);
    expect(rig.ends({ kind: "submit", submit: submitOf([1], { handle: 2 }) })).toContain("submit while leaving");
  });
});
