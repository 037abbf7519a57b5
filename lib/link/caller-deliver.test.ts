import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import { FinishReason, type StepSchema } from "#gen/stator/worker/v1/link_pb";
import { viewBytes, writeU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { errorDetail } from "#lib/rpc/error-detail";
import { CallerRig } from "../../test/support/link-rig.ts";
import type { CallerEffect } from "./caller-state.ts";

type StepInit = MessageInitShape<typeof StepSchema>;

/** A link with requests 1, 2 and 3, all accepted. */
function running(): CallerRig {
  const rig = new CallerRig();
  rig.welcome();
  for (let at = 0; at < 3; at++) rig.accepted();
  rig.nowMs = 70;
  return rig;
}

const entries = (pairs: [number, number][], more: StepInit = {}): StepInit => ({
  handles: writeU32(pairs.map(([handle]) => handle)),
  tokens: writeU32(pairs.map(([, token]) => token)),
  ...more,
});

function deliveryOf(effects: readonly CallerEffect[]) {
  const found = effects.find((effect) => effect.kind === "deliver");
  if (found?.kind !== "deliver") throw new Error("nothing was delivered");
  return found;
}

const floats = (...values: number[]) => viewBytes(Float32Array.from(values));

describe("tokens of a step", () => {
  it("go to each request in order, by their counts, and count as progress", () => {
    const rig = running();
    const { requests, bounds, tokens, logprobs } = deliveryOf(
      rig.deliver({ handles: writeU32([3, 1]), counts: Uint8Array.of(2, 1), tokens: writeU32([30, 31, 10]) }),
    );
    expect(requests.map(({ handle, outputs, progressMs }) => [handle, outputs, progressMs])).toEqual([
      [3, 2, 70],
      [1, 1, 70],
    ]);
    expect(bounds).toEqual([0, 2, 2, 3]);
    expect([...tokens]).toEqual([30, 31, 10]);
    expect(logprobs).toBeUndefined();
    expect(rig.state.counters).toMatchObject({ steps: 1, tokens: 3, droppedFrames: 0 });
  });

  it("of requests that are abandoned or unknown are dropped and counted, and shift nobody's", () => {
    const rig = running();
    rig.step({ kind: "abandon", handle: 1 });
    const { requests, bounds } = deliveryOf(rig.deliver(entries([[1, 10], [9, 90], [2, 20]]))); // biome-ignore format: one line
    expect(requests.map(({ handle }) => handle)).toEqual([2]);
    expect(bounds).toEqual([2, 3]);
    expect(rig.state.counters).toMatchObject({ tokens: 3, droppedFrames: 2 });
    expect(rig.deliver(entries([[1, 10]])).some(({ kind }) => kind === "deliver")).toBe(false);
  });

  it("come with their log-probabilities, each entry of a handle with its own, and without for who has none", () => {
    const rig = running();
    rig.step({ kind: "abandon", handle: 3 });
    const { logprobs, requests } = deliveryOf(
      rig.deliver(
        entries(
          [
            [1, 10],
            [3, 30],
            [2, 20],
            [1, 11],
          ],
          {
            // biome-ignore format: one line
            logprobs: [
            { handle: 1, chosen: floats(-1), topTokenIds: writeU32([7, 8]), topValues: floats(-2, -3) },
            { handle: 3, chosen: floats(-9) },
            { handle: 1, chosen: floats(-4) },
          ],
          },
        ),
      ),
    );
    expect(requests.map(({ handle }) => handle)).toEqual([1, 2, 1]);
    expect(logprobs?.map((each) => each && [...each.chosen])).toEqual([[-1], undefined, [-4]]);
    expect(logprobs?.[0]).toMatchObject({ topTokens: Uint32Array.of(7, 8), topValues: Float32Array.of(-2, -3) });
  });

  test.each<[string, StepInit]>([
    ["tokens without handles", { tokens: writeU32([1]) }],
    ["tokens without handles", { tokens: Uint8Array.of(1) }],
    ["A step does not fit: 2 handles and 1 tokens", { handles: writeU32([1, 2]), tokens: writeU32([1]) }],
    ["log-probabilities of 2 tokens for 1", entries([[1, 5]], { logprobs: [{ handle: 1, chosen: floats(-1, -2) }] })],
    [
      "top_values has 3 bytes",
      entries([[1, 5]], { logprobs: [{ handle: 1, chosen: floats(-1), topValues: new Uint8Array(3) }] }),
    ],
    [
      "the first token of a prompt has no log-probability",
      { promptLogprobs: [{ handle: 1, position: 0, chosen: floats(-1) }] },
    ],
    ["log-probabilities of no token", { promptLogprobs: [{ handle: 1, position: 1 }] }],
    ["EmbeddingResult.values has 3 bytes", { embeddings: [{ handle: 1, values: new Uint8Array(3) }] }],
  ])("end the link when they are torn: %s", (detail, step) => {
    const [end] = running().deliver(step);
    expect(end).toMatchObject({ kind: "end", error: { reason: "CONTRACT_MISMATCH" } });
    expect(end?.kind === "end" && end.error?.message).toContain(detail);
  });
});

describe("other output of a step", () => {
  it("comes in the order log-probabilities of prompts, tokens, texts, embeddings, ends, header", () => {
    const rig = running();
    const effects = rig.deliver({
      durationUs: 5,
      handles: writeU32([1]),
      tokens: writeU32([10]),
      finishes: [{ handle: 1, reason: FinishReason.END }],
      embeddings: [{ handle: 3, values: floats(0.5, 0.25) }],
      texts: [{ handle: 2, text: "hi" }],
      promptLogprobs: [{ handle: 2, position: 1, chosen: floats(-1, -2) }],
    });
    const kinds = ["prompt logprobs", "deliver", "text", "embedding", "finish", "step"];
    expect(effects.map(({ kind }) => kind)).toEqual(kinds);
    expect(effects[0]).toMatchObject({ position: 1, logprobs: { chosen: Float32Array.of(-1, -2) } });
    expect(effects[2]).toMatchObject({ text: "hi", request: { outputs: 2, progressMs: 70 } });
    expect(effects[3]).toMatchObject({ values: Float32Array.of(0.5, 0.25), request: { outputs: 1 } });
  });

  it("of requests that are gone is dropped and counted, one by one", () => {
    const rig = running();
    rig.step({ kind: "abandon", handle: 1 });
    const effects = rig.deliver({
      texts: [{ handle: 1, text: "a" }, { handle: 2, text: "b" }],
      embeddings: [{ handle: 9, values: floats(1) }, { handle: 2, values: floats(1) }],
      promptLogprobs: [{ handle: 1, position: 1, chosen: floats(-1) }, { handle: 2, position: 1, chosen: floats(-1) }],
    }); // biome-ignore format: a line a list
    expect(effects.map(({ kind }) => kind)).toEqual(["prompt logprobs", "text", "embedding"]);
    expect(rig.state.counters.droppedFrames).toBe(3);
  });
});

describe("a terminal frame", () => {
  it("ends a request once, and tells nobody of one that was abandoned", () => {
    const rig = running();
    rig.step({ kind: "abandon", handle: 2 });
    const done = { promptTokens: 3, cachedTokens: 2, completionTokens: 5, stopTokenId: 77 };
    const effects = rig.deliver({
      finishes: [{ handle: 1, reason: FinishReason.STOP_TOKEN, ...done }, { handle: 2 }, { handle: 1 }, { handle: 9 }],
    });
    expect(effects).toMatchObject([
      { kind: "finish", request: { handle: 1, phase: "unknown" }, finish: { reason: "stop_token", stopToken: 77 } },
    ]);
    expect(effects[0]).toMatchObject({ finish: { promptTokens: 3, cachedTokens: 2, completionTokens: 5 } });
    expect(rig.state).toMatchObject({ openRequests: 1, counters: { droppedFrames: 3 } });
    expect(rig.state.requests.size).toBe(1);
  });

  it("may come before Accepted", () => {
    const rig = running();
    rig.submit();
    expect(rig.deliver({ finishes: [{ handle: 4, reason: FinishReason.CANCELLED }] })).toMatchObject([
      { kind: "finish", finish: { reason: "cancelled", error: undefined } },
    ]);
  });

  const refused = errorDetail(new StatorError("OVERLOADED", { what: "m" }));
  test.each([
    [FinishReason.END, undefined, "end", undefined],
    [FinishReason.LENGTH, undefined, "length", undefined],
    [FinishReason.DONE, undefined, "done", undefined],
    [FinishReason.UNSPECIFIED, undefined, "failed", "ENGINE_FAILED"],
    [77 as FinishReason, undefined, "failed", "ENGINE_FAILED"],
    [FinishReason.UNSPECIFIED, refused, "failed", "OVERLOADED"],
    [FinishReason.END, refused, "failed", "OVERLOADED"],
  ])("of reason %i says why", (reason, error, said, failed) => {
    const [finish] = running().deliver({ finishes: [{ handle: 1, reason, error }] });
    expect(finish).toMatchObject({ kind: "finish", finish: { reason: said } });
    expect(finish?.kind === "finish" && finish.finish.error?.reason).toBe(failed);
  });
});

describe("the header of a step", () => {
  it("says that the engine worked, what waits, and how long a step took, merged ones on the average", () => {
    const rig = running();
    rig.deliver({ durationUs: 900, mergedSteps: 2, waitingRequests: 4 });
    expect(rig.state).toMatchObject({ workedMs: 70, waitingRequests: 4, durationCount: 1 });
    expect(rig.state.durationsUs[0]).toBe(300);
    expect(rig.state.counters).toMatchObject({ steps: 1, mergedSteps: 2 });
    rig.nowMs = 90;
    rig.deliver({ decodeSequences: 1, waitingRequests: 1 });
    expect(rig.state).toMatchObject({ workedMs: 90, waitingRequests: 1, durationCount: 1 });
  });

  it("of a message that only carries ends says nothing of the engine", () => {
    const rig = running();
    rig.state.waitingRequests = 3;
    const effects = rig.deliver({ finishes: [{ handle: 1, reason: FinishReason.END }] });
    expect(effects.map(({ kind }) => kind)).toEqual(["finish"]);
    expect(rig.state).toMatchObject({ workedMs: 0, waitingRequests: 3 });
  });

  it("is remembered for the last 64 steps", () => {
    const rig = running();
    for (let durationUs = 1; durationUs <= 65; durationUs++) rig.deliver({ durationUs });
    expect([...rig.state.durationsUs].sort((left, right) => left - right)).toEqual(
      Array.from({ length: 64 }, (_, at) => at + 2),
    );
  });
});
