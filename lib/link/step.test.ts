import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import {
  EmbeddingResultSchema,
  EntryLogprobsSchema,
  FinishReason,
  PromptLogprobsSchema,
  StepSchema,
} from "#gen/stator/worker/v1/link_pb";
import { readU32, viewBytes, writeU32 } from "#lib/base/bytes";
import { isForwardPass, isLoadAlone, mergeSteps, readEntries, readLogprobs, splitStep, stepBytes } from "./step.ts";

const step = (number: number, handles: number[], tokens: number[], counts?: number[]) =>
  create(StepSchema, {
    ...{ step: BigInt(number), durationUs: 10, decodeSequences: handles.length, usedBlocks: number },
    handles: writeU32(handles),
    tokens: writeU32(tokens),
    counts: counts ? Uint8Array.from(counts) : new Uint8Array(0),
    finishes: [{ handle: number, reason: FinishReason.END }],
  });

describe("steps", () => {
  it("merge in order, with what was spent summed and levels of the last", () => {
    const [merged, none] = mergeSteps(
      [step(1, [1, 2], [10, 20]), step(2, [1], [11, 12], [2]), step(3, [2], [21])],
      10_000,
    );
    expect(none).toBeUndefined();
    expect(merged).toMatchObject({ step: 3n, durationUs: 30, decodeSequences: 4, usedBlocks: 3, mergedSteps: 2 });
    expect(merged && [...readU32(merged.handles)]).toEqual([1, 2, 1, 2]);
    expect(merged && [...merged.counts]).toEqual([1, 1, 2, 1]);
    expect(merged && [...readU32(merged.tokens)]).toEqual([10, 20, 11, 12, 21]);
    expect(merged?.finishes.map((finish) => finish.handle)).toEqual([1, 2, 3]);
    expect(mergeSteps([step(1, [1], [1]), step(2, [1], [2]), step(3, [1], [3])], 300).length).toBe(2);
  });

  it("keep log-probabilities of prompts, in order, when they merge, and weigh them", () => {
    const scored = (number: number, position: number) => {
      const part = { handle: 1, position, chosen: viewBytes(Float32Array.of(-1, -2)), topTokenIds: writeU32([3, 4]) };
      const whole = step(number, [], []);
      whole.promptLogprobs = [create(PromptLogprobsSchema, { ...part, topValues: part.chosen })];
      return whole;
    };
    const [merged] = mergeSteps([scored(1, 1), scored(2, 3)], 10_000);
    expect(merged?.promptLogprobs.map(({ position }) => position)).toEqual([1, 3]);
    expect(stepBytes(merged!)).toBeGreaterThanOrEqual(toBinary(StepSchema, merged!).length);
    expect(mergeSteps([scored(1, 1), scored(2, 3)], 300)).toHaveLength(2);
    expect(readLogprobs(merged!.promptLogprobs[0]!)).toMatchObject({ chosen: Float32Array.of(-1, -2) });
  });

  it("are split when their side lists are long, and finish last", () => {
    const values = new Uint8Array(3_000);
    const whole = step(1, [], []);
    whole.embeddings = [1, 2, 3, 4].map((handle) => create(EmbeddingResultSchema, { handle, values }));
    const parts = splitStep(whole, 8_000);
    expect(parts.map((part) => part.embeddings.length)).toEqual([2, 2]);
    expect(parts.map((part) => part.finishes.length)).toEqual([0, 1]);
    expect(parts.map((part) => part.durationUs)).toEqual([10, 0]);
    for (const part of parts) expect(toBinary(StepSchema, part).length).toBeLessThan(8_000);
  });

  it("are weighed without being encoded", () => {
    const heavy = step(
      1,
      Array.from({ length: 500 }, (_, at) => at + 1),
      Array.from({ length: 500 }, () => 7),
    );
    expect(stepBytes(heavy)).toBeGreaterThanOrEqual(toBinary(StepSchema, heavy).length);
  });

  it("say what does not fit", () => {
    expect(() => readEntries(step(1, [1], [1, 2]))).toThrow(/1 handles and 2 tokens/);
    expect(() => readEntries(step(1, [1, 2], [1, 2], [1]))).toThrow(/2 handles and 1 counts/);
    expect(() => readEntries(step(1, [1], [1, 2], [3]))).toThrow(/counts sum to 3/);
  });

  it("say what does not fit in their log-probabilities, which may be of no token", () => {
    const entry = (chosen: number, topTokens: number, topValues: number) =>
      create(EntryLogprobsSchema, {
        chosen: new Uint8Array(4 * chosen),
        topTokenIds: new Uint8Array(4 * topTokens),
        topValues: new Uint8Array(4 * topValues),
      });
    expect(() => readLogprobs(entry(2, 0, 0), 1)).toThrow(/of 2 tokens for 1/);
    expect(() => readLogprobs(entry(1, 2, 3), 1)).toThrow(/do(es)? not fit/);
    expect(() => readLogprobs(entry(2, 3, 3), 2)).toThrow(/of 2 tokens for 2/);
    expect(readLogprobs(entry(2, 4, 4)).chosen).toHaveLength(2);
    expect(readLogprobs(entry(1, 1, 1), 1).topTokens).toHaveLength(1);
    expect(readLogprobs(entry(0, 1, 1), 0).chosen).toHaveLength(0);
  });

  it("report work by time, by tokens of either kind, or by entries", () => {
    const works = (init: MessageInitShape<typeof StepSchema>) => isForwardPass(create(StepSchema, init));
    expect(works({ durationUs: 1 })).toBe(true);
    expect(works({ prefillTokens: 1 })).toBe(true);
    expect(works({ decodeSequences: 1 })).toBe(true);
    expect(works({ handles: writeU32([1]) })).toBe(true);
    expect(works({ handles: Uint8Array.of(1) })).toBe(true);
    expect(works({ waitingRequests: 1, finishes: [{ handle: 1 }] })).toBe(false);
  });

  it("report the load alone when nothing was done and nobody is told anything", () => {
    const isLoad = (init: MessageInitShape<typeof StepSchema>) => isLoadAlone(create(StepSchema, init));
    expect(isLoad({ waitingRequests: 1, openSessions: 2 })).toBe(true);
    expect(isLoad({ durationUs: 1 })).toBe(false);
    expect(isLoad({ finishes: [{ handle: 1 }] })).toBe(false);
    expect(isLoad({ texts: [{ handle: 1, text: "a" }] })).toBe(false);
    expect(isLoad({ embeddings: [{ handle: 1 }] })).toBe(false);
    expect(isLoad({ promptLogprobs: [{ handle: 1 }] })).toBe(false);
  });
});

const weight = (init: MessageInitShape<typeof StepSchema>) => stepBytes(create(StepSchema, init));
const bytes = new Uint8Array(40);

describe("the weight of a step", () => {
  const error = { reason: "OVERLOADED", message: "0123456789" };
  test.each<[string, MessageInitShape<typeof StepSchema>, number]>([
    ["its header", {}, 96],
    ["a session", { finishes: [{ session: { sequenceHashes: bytes, tailTokenIds: bytes } }] }, 96 + 24 + 512 + 80],
    ["a transfer", { finishes: [{ transfer: { blocks: 1 } }] }, 96 + 24 + 48],
    ["its arrays", { handles: bytes, counts: bytes, tokens: bytes }, 96 + 120],
    ["ends", { finishes: [{ handle: 1 }, { handle: 2 }] }, 96 + 48],
    ["failures", { finishes: [{ handle: 1, error }] }, 96 + 24 + 64 + 10],
    ["log-probabilities", { logprobs: [{ chosen: bytes, topTokenIds: bytes, topValues: bytes }] }, 96 + 150],
    ["those of prompts", { promptLogprobs: [{ chosen: bytes, topTokenIds: bytes, topValues: bytes }] }, 96 + 150],
    ["texts", { texts: [{ text: "0123456789" }] }, 96 + 22],
    ["embeddings", { embeddings: [{ values: bytes }] }, 96 + 52],
  ])("counts %s", (_what, init, expected) => {
    expect(weight(init)).toBe(expected);
  });
});

describe("steps that merge", () => {
  it("fill a message to the byte and not beyond it", () => {
    const steps = () => [1, 2, 3].map((number) => step(number, [number], [number]));
    const each = stepBytes(steps()[0]!);
    expect(mergeSteps(steps(), 3 * each)).toHaveLength(1);
    expect(mergeSteps(steps(), 3 * each - 1).map(({ mergedSteps }) => mergedSteps)).toEqual([1, 0]);
    expect(mergeSteps(steps(), each).map((one) => one.step)).toEqual([1n, 2n, 3n]);
    expect(mergeSteps(steps(), 1)).toHaveLength(3);
    expect(mergeSteps([], 100)).toEqual([]);
    // A message that was filled leaves nothing in the account of the next.
    const four = [...steps(), step(4, [4], [4])];
    expect(mergeSteps(four, 2 * each)).toHaveLength(2);
    expect(mergeSteps(four, 2 * each - 1)).toHaveLength(4);
  });

  it("sum all that was spent, take levels from the last, and count what was merged before", () => {
    const spent = {
      ...{ durationUs: 1, prefillTokens: 2, prefillContextTokens: 3, decodeSequences: 4, decodeContextTokens: 5 },
      ...{ exportUs: 6, importUs: 7 },
    };
    const level = (number: number) => ({ waitingRequests: number, waitingTokens: number, totalBlocks: number });
    const steps = [1, 2, 3].map((number) => create(StepSchema, { ...spent, ...level(number), mergedSteps: number }));
    const sums = Object.fromEntries(Object.entries(spent).map(([name, value]) => [name, 3 * value]));
    expect(mergeSteps(steps, 10_000)).toMatchObject([{ ...sums, ...level(3), mergedSteps: 8 }]);
  });

  it("keep the side lists of all in order, and have counts only when one of them has", () => {
    const side = (handle: number) =>
      create(StepSchema, {
        handles: writeU32([handle]),
        tokens: writeU32([handle]),
        logprobs: [{ handle }],
        texts: [{ handle }],
        embeddings: [{ handle }],
      });
    const [merged] = mergeSteps([side(1), side(2)], 10_000);
    for (const list of [merged!.logprobs, merged!.texts, merged!.embeddings]) {
      expect(list.map(({ handle }) => handle)).toEqual([1, 2]);
    }
    expect(merged!.counts).toHaveLength(0);
    const [uneven] = mergeSteps([side(1), step(2, [2, 3], [5, 6, 7], [1, 2])], 10_000);
    expect([...uneven!.counts]).toEqual([1, 1, 2]);
    const [three] = mergeSteps([step(1, [1, 2, 3], [4, 5, 6]), step(2, [2], [5, 6], [2])], 10_000);
    expect([...three!.counts]).toEqual([1, 1, 1, 2]);
  });
});

describe("a step that is cut", () => {
  const whole = () =>
    create(StepSchema, {
      ...{ step: 9n, rank: 3, durationUs: 10, handles: writeU32([1]), tokens: writeU32([1]) },
      texts: [1, 2].map((handle) => ({ handle, text: "0123456789" })),
      embeddings: [{ handle: 3, values: bytes }],
      finishes: [{ handle: 1 }, { handle: 2, error: { message: "0123456789" } }],
    });
  /** Of each part: texts, embeddings, finishes. */
  const cut = (maxBytes: number) => {
    const parts = splitStep(whole(), maxBytes);
    for (const part of parts) expect([part.step, part.rank]).toEqual([9n, 3]);
    expect(parts.map(({ handles }) => handles.length)).toEqual(parts.map((_, at) => (at === 0 ? 4 : 0)));
    return parts.map(({ texts, embeddings, finishes }) => `${texts.length} ${embeddings.length} ${finishes.length}`);
  };

  it("is left as it is when it fits to the byte", () => {
    const step = whole();
    expect(splitStep(step, stepBytes(step))[0]).toBe(step);
    expect(splitStep(step, stepBytes(step) - 1)).toHaveLength(2);
  });

  it("fills each part to the byte: texts of 22, an embedding of 52, ends of 24 and 98, headers of 104 and 96", () => {
    expect(cut(104 + 44)).toEqual(["2 0 0", "0 1 0", "0 0 1", "0 0 1"]);
    expect(cut(104 + 43)).toEqual(["1 0 0", "1 0 0", "0 1 0", "0 0 1", "0 0 1"]);
    expect(cut(104 + 96)).toEqual(["2 1 0", "0 0 1", "0 0 1"]);
    expect(cut(104 + 95)).toEqual(["2 0 0", "0 1 1", "0 0 1"]);
    expect(cut(96 + 121)).toEqual(["2 1 0", "0 0 1", "0 0 1"]);
    expect(cut(96 + 122)).toEqual(["2 1 0", "0 0 2"]);
    expect(cut(104 + 120)).toEqual(["2 1 1", "0 0 1"]);
    expect(cut(104 + 119)).toEqual(["2 1 0", "0 0 2"]);
  });
});
