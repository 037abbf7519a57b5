import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { FinishSchema, NoticeSchema, StepSchema, WelcomeSchema } from "#gen/stator/worker/v1/link_pb";
import { readU32, writeU32 } from "#lib/base/bytes";
import { LINK_LIMITS, type LinkLimits } from "./limits.ts";
import { stepBytes } from "./step.ts";
import { isEmpty, takeWorkerOutbox } from "./worker-outbox.ts";
import { createWorkerState, emptyWorkerOutbox, type WorkerOutbox } from "./worker-state.ts";

const stepOf = (init: MessageInitShape<typeof StepSchema> = {}) => create(StepSchema, init);
const acceptedOf = (count: number) => {
  const handles = Array.from({ length: count }, (_, at) => at + 1);
  return {
    handles,
    cachedTokens: handles.map((handle) => handle * 2),
    queuedAhead: handles.map((handle) => handle * 3),
  };
};
const finishOf = (handle: number) => create(FinishSchema, { handle });

function take(box: Partial<WorkerOutbox>, options: { limits?: Partial<LinkLimits>; congested?: boolean } = {}) {
  const state = createWorkerState({ ...LINK_LIMITS, ...options.limits }, 0);
  state.outbox = { ...emptyWorkerOutbox(), ...box };
  state.congested = options.congested ?? false;
  const messages = takeWorkerOutbox(state);
  expect(isEmpty(state.outbox)).toBe(true);
  return { messages, mergedSteps: state.counters.mergedSteps };
}

describe("what a worker says in one turn", () => {
  it("is something unless nothing of any kind waits", () => {
    expect(isEmpty(emptyWorkerOutbox())).toBe(true);
    const some: Partial<WorkerOutbox>[] = [
      { steps: [stepOf()] },
      { accepted: acceptedOf(1) },
      { finishes: [finishOf(1)] },
      { pongs: [0n] },
      { welcome: create(WelcomeSchema) },
      { notice: create(NoticeSchema) },
    ];
    for (const box of some) expect(isEmpty({ ...emptyWorkerOutbox(), ...box })).toBe(false);
  });

  it("is one message, however many kinds of it there are", () => {
    const box = { welcome: create(WelcomeSchema), notice: create(NoticeSchema), pongs: [4n], finishes: [finishOf(9)] };
    const { messages } = take({ ...box, accepted: acceptedOf(2), steps: [stepOf({ step: 5n })] });
    expect(messages).toMatchObject([
      { welcome: {}, notice: {}, pong: { nonce: 4n }, accepted: {}, step: { step: 5n, finishes: [{ handle: 9 }] } },
    ]);
  });

  it("begins with Welcome and ends with Notice and the first Pong; further Pongs follow alone", () => {
    const box = { welcome: create(WelcomeSchema), notice: create(NoticeSchema), pongs: [4n, 5n, 6n] };
    const { messages } = take({ ...box, steps: [stepOf({ step: 1n }), stepOf({ step: 2n })] });
    expect(messages.map(({ welcome, step, notice, pong }) => [!!welcome, step?.step, !!notice, pong?.nonce])).toEqual([
      [true, 1n, false, undefined],
      [false, 2n, true, 4n],
      [false, undefined, false, 5n],
      [false, undefined, false, 6n],
    ]);
  });

  it("names at most 8,192 requests in one Accepted, each with its own numbers", () => {
    const named = (count: number) => take({ accepted: acceptedOf(count) }).messages.map(({ accepted }) => accepted!);
    expect(named(8_192).map(({ handles }) => handles.length / 4)).toEqual([8_192]);
    const [, rest] = named(8_193);
    expect([rest!.handles, rest!.cachedTokens, rest!.queuedAhead].map((each) => [...readU32(each)])).toEqual([
      [8_193],
      [16_386],
      [24_579],
    ]);
    const { messages } = take({ accepted: acceptedOf(8_193), steps: [stepOf()] });
    expect(messages.map(({ step }) => step !== undefined)).toEqual([false, true]);
  });

  it("holds a step beside Accepted when both fit into a message, else behind it", () => {
    const step = stepOf({ handles: writeU32([1]), tokens: writeU32([1]) });
    const bytes = stepBytes(step) + 2 * 12;
    const messagesAt = (maxMessageBytes: number) =>
      take({ accepted: acceptedOf(2), steps: [step] }, { limits: { maxMessageBytes } }).messages.length;
    expect(messagesAt(bytes)).toBe(1);
    expect(messagesAt(bytes - 1)).toBe(2);
  });
});

describe("steps that leave", () => {
  const text = (handle: number) => ({ handle, text: "x".repeat(388) });

  it("together in one turn stay apart, and get the ends of refused requests in the last", () => {
    const { messages, mergedSteps } = take({
      steps: [stepOf({ step: 1n }), stepOf({ step: 2n })],
      finishes: [finishOf(7)],
    });
    expect(messages.map(({ step }) => [step?.step, step?.finishes.length])).toEqual([
      [1n, 0],
      [2n, 1],
    ]);
    expect(mergedSteps).toBe(0);
  });

  it("having waited for room leave as one, which says how many went in", () => {
    const steps = () => [stepOf({ step: 1n }), stepOf({ step: 2n }), stepOf({ step: 3n })];
    const { messages, mergedSteps } = take({ steps: steps() }, { congested: true });
    expect(messages).toMatchObject([{ step: { step: 3n, mergedSteps: 2 } }]);
    expect(mergedSteps).toBe(2);
    const two = take({ steps: steps().slice(1) }, { congested: true });
    expect(two.messages).toMatchObject([{ step: { step: 3n, mergedSteps: 1 } }]);
    const alone = take({ steps: steps().slice(2) }, { congested: true });
    expect(alone.messages).toMatchObject([{ step: { step: 3n, mergedSteps: 0 } }]);
  });

  it("are cut so that 4 KiB of a message stay free for what travels beside them", () => {
    // 96 bytes of a step, and 400 for each text.
    const two = () => stepOf({ texts: [text(1), text(2)] });
    const parts = (congested: boolean, room: number, ...steps: ReturnType<typeof stepOf>[]) => {
      const { messages } = take({ steps }, { congested, limits: { maxMessageBytes: 4_096 + room } });
      return messages.map(({ step }) => step?.texts.length);
    };
    expect(parts(false, 896, two())).toEqual([2]);
    expect(parts(false, 895, two())).toEqual([1, 1]);
    expect(parts(true, 895, two(), stepOf())).toEqual([1, 1, 0]);
    expect(parts(true, 992, two(), stepOf())).toEqual([2]);
  });

  it("are made for the ends of refused requests when there is none", () => {
    const { messages } = take({ finishes: [finishOf(7), finishOf(8)] });
    expect(messages).toMatchObject([{ step: { durationUs: 0, finishes: [{ handle: 7 }, { handle: 8 }] } }]);
  });
});
