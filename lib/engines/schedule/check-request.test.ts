import { expect, test } from "vitest";
import { StatorError } from "#lib/base/errors";
import { GREEDY } from "#lib/tokens/sampling";
import { requestOf } from "../../../test/support/scheduler-rig.ts";
import type { EngineRequest } from "../engine.ts";
import { checkRequest } from "./check-request.ts";

const limits = { model: "m", contextTokens: 4, vocabularySize: 10 };

function told(request: EngineRequest): string {
  try {
    checkRequest(request, limits);
    return "fine";
  } catch (error) {
    return error instanceof StatorError ? `${error.reason}: ${error.message}` : String(error);
  }
}

const embed = (...promptTokens: number[]): EngineRequest => ({
  ...{ kind: "embed", id: 1, promptTokens: Uint32Array.from(promptTokens), pooling: undefined },
  ...{ normalize: true, adapter: undefined, cacheSalt: "", priority: 0 },
});

test("a prompt leaves room for one token of an answer, an input of an embedding fills the context, and none is empty", () => {
  expect([told(requestOf(1, [1])), told(requestOf(1, [1, 2, 3])), told(embed(1, 2, 3, 4))]).toEqual([
    "fine",
    "fine",
    "fine",
  ]);
  expect(told(requestOf(1, [1, 2, 3, 4]))).toContain("CONTEXT_LENGTH");
  expect(told(embed(1, 2, 3, 4, 5))).toContain("CONTEXT_LENGTH");
  for (const empty of [requestOf(1, []), embed()]) expect(told(empty)).toContain("The prompt has no tokens");
});

test("every token id is below the vocabulary's size, wherever it stands", () => {
  const ids = Uint32Array.of(3, 9);
  const { stopping } = requestOf(1, [1]);
  const sampling = { ...GREEDY, biasTokens: ids, biasValues: Float32Array.of(1, 2) };
  expect(told(requestOf(1, [9], { generatedTokens: ids, sampling, stopping: { ...stopping, stopTokens: ids } }))).toBe(
    "fine",
  );
  const beyond = Uint32Array.of(3, 10);
  const end = "holds the id 10; the vocabulary of m ends at 9";
  expect(told(requestOf(1, [3, 10]))).toContain(`The prompt ${end}`);
  expect(told(embed(10))).toContain(`The prompt ${end}`);
  expect(told(requestOf(1, [1], { generatedTokens: beyond }))).toContain(`The tokens generated so far ${end}`);
  expect(told(requestOf(1, [1], { stopping: { ...stopping, stopTokens: beyond } }))).toContain(`stop tokens ${end}`);
  expect(told(requestOf(1, [1], { sampling: { ...sampling, biasTokens: beyond } }))).toContain(`The logit bias ${end}`);
});

test("an answer has a token at least, and a draw a meaning", () => {
  expect(told(requestOf(1, [1], { maxTokens: 1 }))).toBe("fine");
  expect(told(requestOf(1, [1], { maxTokens: 0 }))).toContain("at least one token");
  expect(told(requestOf(1, [1], { sampling: { ...GREEDY, temperature: 3 } }))).toContain("INVALID_ARGUMENT: ");
});
