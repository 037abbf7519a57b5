import { expect, test } from "vitest";
import { counted, oracle, oracleScores, Rig, requestOf } from "../../../test/support/scheduler-rig.ts";

test("a prompt is computed in chunks, then one token a step", () => {
  const rig = new Rig({ maxBatchTokens: 8 });
  const request = requestOf(1, counted(20), { maxTokens: 4 });
  rig.scheduler.submit(request);
  rig.finish();
  expect(rig.answers.get(1)).toEqual(oracle(request, 64).tokens);
  expect(rig.steps.map((step) => step.metrics.prefillTokens).slice(0, 4)).toEqual([8, 8, 4, 0]);
  expect(rig.steps.map((step) => step.metrics.decodeSequences).slice(0, 4)).toEqual([0, 0, 0, 1]);
  expect(rig.finishes.get(1)).toMatchObject({ reason: "length", promptTokens: 20, completionTokens: 4 });
  rig.expectNothingLeft();
});

test("choices of one prompt share its prefill: the others wait for its blocks", () => {
  const rig = new Rig({ maxBatchTokens: 64 });
  for (let choice = 0; choice < 4; choice++) rig.scheduler.submit(requestOf(choice, counted(21), { choice }));
  rig.finish();
  const prefill = rig.steps.reduce((sum, step) => sum + step.metrics.prefillTokens, 0);
  expect(prefill).toBe(21 + 3 * 1);
  expect([...rig.finishes.values()].map((finish) => finish.cachedTokens).sort((a, b) => a - b)).toEqual([
    0, 20, 20, 20,
  ]);
  rig.expectNothingLeft();
});

test("of a prompt that is cached in full the last block is computed again", () => {
  const rig = new Rig();
  rig.scheduler.submit(requestOf(1, counted(16)));
  rig.finish();
  expect(rig.scheduler.submit(requestOf(2, counted(16))).cachedTokens).toBe(12);
  rig.finish();
  expect(rig.finishes.get(2)!.cachedTokens).toBe(12);
  expect(rig.answers.get(2)).toEqual(rig.answers.get(1));
  rig.expectNothingLeft();
});

test("a prompt that is scored is computed whole and in pieces of what a step may score, and is found by later ones", () => {
  const rig = new Rig({ maxBatchTokens: 32, maxScoredTokens: 6 });
  rig.scheduler.submit(requestOf(1, counted(17)));
  rig.finish();
  const request = requestOf(2, counted(17), { topLogprobs: 0, promptLogprobs: true });
  expect(rig.scheduler.submit(request).cachedTokens).toBe(0);
  rig.steps.length = 0;
  rig.finish();
  expect(rig.scores.get(2)).toEqual(oracleScores(request));
  expect(rig.steps.map((step) => step.metrics.prefillTokens).slice(0, 3)).toEqual([6, 6, 5]);
  expect(rig.finishes.get(2)!.cachedTokens).toBe(0);
  expect(rig.answers.get(2)).toEqual(rig.answers.get(1));
  expect(rig.scheduler.submit(requestOf(3, counted(17))).cachedTokens).toBe(16);
  rig.finish();
  rig.expectNothingLeft();
});

test("several prompts that are scored share what a step may score, with others beside", () => {
  const rig = new Rig({ maxBatchTokens: 12, maxScoredTokens: 4 });
  const scored = [1, 2].map((id) => requestOf(id, counted(9, id), { topLogprobs: 0, promptLogprobs: true }));
  const one = requestOf(3, counted(1), { topLogprobs: 0, promptLogprobs: true });
  const plain = requestOf(4, counted(9, 4));
  for (const request of [...scored, one, plain]) rig.scheduler.submit(request);
  rig.finish();
  for (const request of scored) expect(rig.scores.get(request.id)).toEqual(oracleScores(request));
  expect([rig.scores.has(3), rig.scores.has(4)]).toEqual([false, false]);
  for (const request of [...scored, one, plain])
    expect(rig.answers.get(request.id)).toEqual(oracle(request, 64).tokens);
  rig.expectNothingLeft();
});

test("salt and adapter keep prefixes apart", () => {
  const rig = new Rig();
  rig.scheduler.submit(requestOf(1, counted(16)));
  rig.finish();
  expect(rig.scheduler.submit(requestOf(2, counted(16), { cacheSalt: "other" })).cachedTokens).toBe(0);
  expect(rig.scheduler.submit(requestOf(3, counted(16), { adapter: "a" })).cachedTokens).toBe(0);
  rig.finish();
  rig.expectNothingLeft();
});

test("under pressure the last admitted is preempted, and everybody still gets the right answer", () => {
  const rig = new Rig({ blocks: 12, contextTokens: 48, maxBatchTokens: 32 });
  const requests = [0, 1, 2].map((id) => requestOf(id, counted(9, id), { maxTokens: 30 }));
  for (const request of requests) rig.scheduler.submit(request);
  let mostRunning = 0;
  let preempted = false;
  for (let round = 0; round < 400 && rig.scheduler.openIds().length > 0; round++) {
    rig.step();
    mostRunning = Math.max(mostRunning, rig.scheduler.runningRequests);
    preempted ||= rig.scheduler.runningRequests < mostRunning && rig.finishes.size === 0;
  }
  expect(preempted).toBe(true);
  for (const request of requests) expect(rig.answers.get(request.id)).toEqual(oracle(request, 48).tokens);
  rig.expectNothingLeft();
});

test("higher priority runs first, and a full queue refuses", () => {
  const rig = new Rig({ maxRunning: 1, maxWaiting: 2 });
  rig.scheduler.submit(requestOf(1, counted(5)));
  rig.step();
  rig.scheduler.submit(requestOf(2, counted(5)));
  expect(rig.scheduler.submit(requestOf(3, counted(5), { priority: 1 })).queuedAhead).toBe(0);
  expect(() => rig.scheduler.submit(requestOf(4, counted(5)))).toThrow("Every place for waiting requests is taken");
  rig.finish();
  expect([...rig.finishes.keys()]).toEqual([1, 3, 2]);
});

test("an answer that was cut goes on as if it had not been", () => {
  const rig = new Rig();
  const whole = requestOf(1, counted(10), { maxTokens: 20 });
  const { tokens } = oracle(whole, 64);
  const cut = Math.floor(tokens.length / 2);
  rig.scheduler.submit({ ...whole, generatedTokens: Uint32Array.from(tokens.slice(0, cut)) });
  rig.finish();
  expect(rig.answers.get(1)).toEqual(tokens.slice(cut));
  expect(rig.finishes.get(1)!.completionTokens).toBe(tokens.length);
});

test("an answer that an earlier attempt completed ends at once", () => {
  const rig = new Rig();
  rig.scheduler.submit(requestOf(1, counted(10), { maxTokens: 3, generatedTokens: Uint32Array.of(1, 2, 3) }));
  rig.take(rig.scheduler.flush());
  expect(rig.finishes.get(1)).toMatchObject({ reason: "length", completionTokens: 3 });
  expect(rig.answers.get(1)).toBeUndefined();
});

test("steps hold one adapter where the engine wants it so, and take turns", () => {
  const rig = new Rig({ oneAdapterPerStep: true });
  const requests = [undefined, "a", undefined, "a"].map((adapter, id) => requestOf(id, counted(5, id), { adapter }));
  for (const request of requests) rig.scheduler.submit(request);
  const adapters: (string | undefined)[] = [];
  while (rig.scheduler.openIds().length > 0) {
    rig.fill();
    for (const { plan } of rig.engine.queue) {
      expect(plan.entries.every((entry) => entry.sequence.request.adapter === plan.adapter)).toBe(true);
      adapters.push(plan.adapter);
    }
    rig.step();
  }
  expect(adapters.slice(0, 4)).toEqual([undefined, "a", undefined, "a"]);
  for (const request of requests) expect(rig.answers.get(request.id) ?? []).toEqual(oracle(request, 64).tokens);
});

test("a step of killed requests alone is to be aborted, another is not", () => {
  const rig = new Rig({ outstandingSteps: 2, slots: 8 });
  rig.scheduler.submit(requestOf(1, counted(9)));
  rig.fill();
  expect(rig.scheduler.cancel([1], "stop")).toBeUndefined();
  rig.scheduler.submit(requestOf(2, counted(9, 3)));
  rig.scheduler.submit(requestOf(3, counted(9, 6)));
  while (rig.engine.queue.some(({ plan }) => !plan.entries.some((entry) => entry.sequence.id === 3))) rig.step();
  rig.fill();
  expect(rig.scheduler.cancel([2], "kill")).toBeUndefined();
  expect(rig.scheduler.cancel([3], "kill")).toBe(rig.engine.queue[0]!.plan.step);
  rig.step("aborted");
  while (rig.engine.queue.length > 0) rig.step("discarded");
  rig.finish();
  rig.expectNothingLeft();
});
