import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { EmbeddingResultSchema, FinishReason, PromptLogprobsSchema, StepSchema } from "#gen/stator/worker/v1/link_pb";
import { readU32, viewBytes, writeU32 } from "#lib/base/bytes";
import { mergeSteps, readEntries, readLogprobs, splitStep, stepBytes } from "./step.ts";

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
});
