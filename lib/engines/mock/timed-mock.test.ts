import { expect, test } from "vitest";
import { FakeClock } from "#lib/base/clock";
import { silentLog as log } from "#lib/host/log";
import { NO_TIME } from "#lib/perf/time-prior";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { GREEDY } from "#lib/tokens/sampling";
import { TokenChain } from "#lib/tokens/token-chain";
import type { GenerateRequest } from "../engine.ts";
import { createTimedMock } from "./timed-mock.ts";

const BLOCK_TOKENS = 4;
const TIMES = { ...NO_TIME, prefillTokenMs: 1, decodeMs: 100, decodeFillMs: 1_000, passTokens: 64 };

const counted = (count: number, from = 0) => Uint32Array.from({ length: count }, (_, at) => from + at);

function ask(id: number, promptTokens: Uint32Array, generated = 0): GenerateRequest {
  const stopping = { maxTokens: 2 + generated, ignoreEos: true, stopTokens: new Uint32Array(0), minTokens: 0 };
  return {
    ...{ kind: "generate", id, promptTokens, generatedTokens: new Uint32Array(generated), choice: 0, stopping },
    ...{ sampling: GREEDY, guidance: undefined, topLogprobs: undefined, promptLogprobs: false, adapter: undefined },
    ...{ cacheSalt: "", priority: 0 },
  };
}

/** How long each pass of these requests takes, which come at once; in ms. */
function passesOf(requests: readonly GenerateRequest[], likeReference: boolean): number[] {
  const clock = new FakeClock();
  const hasher = new TokenHasher();
  const { engine } = createTimedMock({
    ...{ blocks: 10, blockTokens: BLOCK_TOKENS, contextTokens: 40, maxRunning: 8, maxWaiting: 8, stretchSteps: 1 },
    times: TIMES,
    likeReference,
    chain: ({ promptTokens }) =>
      new TokenChain(hasher, promptTokens, { blockTokens: BLOCK_TOKENS, seed: hashSeed("", undefined), room: 8 }),
    ...{ clock, log },
  });
  const passes: number[] = [];
  engine.listen({
    onStep: ({ metrics }) => passes.push(metrics.durationUs / 1_000),
    onKv() {},
    onFailure: (error) => expect.unreachable(error.message),
  });
  for (const request of requests) engine.submit(request);
  clock.advance(10_000);
  return passes;
}

test("like the reference's, the pass that ends a prompt decodes too, and blocks in use are its contexts", () => {
  const requests = [ask(1, counted(5))];
  expect(passesOf(requests, false)).toEqual([5, 100 + 6 * 25]);
  expect(passesOf(requests, true)).toEqual([5 + 100 + 200, 100 + 200]);
});

test("like the reference's, what is shared counts once, and is shared by those that come together", () => {
  const requests = [9, 10].map((last, id) => ask(id, Uint32Array.of(...counted(8), last)));
  expect(passesOf(requests, true)).toEqual([9 + 1 + 100 + 400, 100 + 400]);
  expect(passesOf(requests, false), "by itself each computes so little, and both contexts fill the pool").toEqual([
    9 + 9,
    100 + (10 + 10) * 25,
  ]);
});

test("like the reference's, the new tokens of several prompts are a mean that is rounded down", () => {
  const requests = [ask(1, counted(5)), ask(2, counted(4, 50))];
  expect(passesOf(requests, true)[0]).toBe(2 * 4 + 100 + 300);
  expect(passesOf(requests, false)[0]).toBe(9);
});

test("like the reference's, an answer that is computed again costs nothing", () => {
  const requests = [ask(1, counted(4), 3)];
  expect(passesOf(requests, true)[0]).toBe(4 + 100 + 200);
  expect(passesOf(requests, false)[0]).toBe(7);
});
