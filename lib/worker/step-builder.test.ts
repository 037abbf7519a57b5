import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { FinishReason, StepSchema } from "#gen/stator/worker/v1/link_pb";
import { readF32, readU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { fromErrorDetail } from "#lib/rpc/error-detail";
import { IDLE } from "../../test/support/fake-engine.ts";
import { StepBuilder } from "./step-builder.ts";

const END = { stopToken: undefined, promptTokens: 3, cachedTokens: 1, completionTokens: 2, error: undefined };

test("one token each needs no counts", () => {
  const builder = new StepBuilder();
  for (const handle of [7, 9]) builder.tokens(handle, Uint32Array.of(handle * 10));
  const step = builder.take({ ...IDLE, step: 4, usedBlocks: 5 });
  expect([...readU32(step.handles)]).toEqual([7, 9]);
  expect([...readU32(step.tokens)]).toEqual([70, 90]);
  expect(step.counts).toHaveLength(0);
  expect(step).toMatchObject({ step: 4n, usedBlocks: 5, durationUs: 1000 });
});

test("entries of several tokens have counts, and arrays grow as they must", () => {
  const builder = new StepBuilder();
  const most = Uint32Array.from({ length: 255 }, (_, at) => at);
  for (let handle = 1; handle <= 300; handle++) builder.tokens(handle, handle % 2 ? most : most.subarray(0, 1));
  const step = builder.take(IDLE);
  expect(readU32(step.handles)).toHaveLength(300);
  expect([...step.counts.subarray(0, 4)]).toEqual([255, 1, 255, 1]);
  expect(readU32(step.tokens)).toHaveLength(150 * 256);
});

test("a message owns its memory: what comes later does not change it", () => {
  const builder = new StepBuilder();
  const tokens = Uint32Array.of(1, 2);
  const values = Float32Array.of(0.5);
  const logprobs = { id: 1, chosen: Float32Array.of(-1), topTokens: Uint32Array.of(3), topValues: Float32Array.of(-1) };
  builder.tokens(1, tokens);
  builder.embedding(1, values);
  builder.text(1, "text");
  builder.logprobs(1, logprobs);
  builder.promptLogprobs(1, { ...logprobs, position: 4 });
  const first = builder.take(IDLE);
  tokens.fill(9);
  values.fill(9);
  logprobs.topTokens.fill(9);
  builder.tokens(2, tokens);
  expect([...readU32(first.tokens)]).toEqual([1, 2]);
  expect([...readF32(first.embeddings[0]!.values)]).toEqual([0.5]);
  expect([...readU32(first.logprobs[0]!.topTokenIds)]).toEqual([3]);
  expect([first.promptLogprobs[0]!.position, ...readU32(first.promptLogprobs[0]!.topTokenIds)]).toEqual([4, 3]);
  const second = builder.take(IDLE);
  expect(first.texts).toMatchObject([{ handle: 1, text: "text" }]);
  expect([second.embeddings, second.promptLogprobs, second.texts]).toEqual([[], [], []]);
  expect([...readU32(second.handles)]).toEqual([2]);
});

test("every end has its reason on the wire, a failure its error", () => {
  const builder = new StepBuilder();
  for (const [handle, reason] of (["end", "stop_token", "length", "cancelled", "done"] as const).entries()) {
    builder.finish(handle + 1, { ...END, id: handle, reason });
  }
  const error = new StatorError("ENGINE_FAILED", { detail: "no memory" });
  builder.finish(6, { ...END, id: 6, reason: "failed", error });
  const { finishes } = fromBinary(StepSchema, toBinary(StepSchema, builder.take(IDLE)));
  expect(finishes.map(({ reason }) => reason)).toEqual([
    FinishReason.END,
    FinishReason.STOP_TOKEN,
    FinishReason.LENGTH,
    FinishReason.CANCELLED,
    FinishReason.DONE,
    FinishReason.UNSPECIFIED,
  ]);
  expect(finishes[0]).toMatchObject({ promptTokens: 3, cachedTokens: 1, completionTokens: 2 });
  expect(finishes[0]!.error).toBeUndefined();
  expect(fromErrorDetail(finishes[5]!.error!)).toMatchObject({ reason: "ENGINE_FAILED", message: error.message });
});
