import { expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { counted, holds, oracle, Rig, requestOf, same } from "../../../test/support/scheduler-rig.ts";
import { eachSeed } from "../../../test/support/seeds.ts";
import type { GenerateRequest } from "../engine.ts";
import type { Allocation, SchedulerOptions } from "./options.ts";
import type { StepPlan } from "./plan.ts";

/** The plans of a rig as they are made. */
function planned(options: Partial<SchedulerOptions>, requests: readonly GenerateRequest[]) {
  const rig = new Rig(options);
  for (const request of requests) rig.scheduler.submit(request);
  const plans: StepPlan[] = [];
  while (rig.scheduler.openIds().length > 0) {
    rig.fill();
    plans.push(...rig.engine.queue.map(({ plan }) => plan));
    rig.step();
  }
  return { rig, plans };
}

const entriesOf = ({ entries }: StepPlan) => entries.map(({ sequence, count }) => [sequence.id, count]);

test("stepwise a prompt shares blocks that the same step computes; ahead it waits for them", () => {
  const requests = [1, 2].map((id) => requestOf(id, [...counted(16), id], { maxTokens: 1 }));
  const options = { maxBatchTokens: 64 };
  const stepwise = planned({ ...options, allocation: "stepwise" }, requests);
  expect(stepwise.plans.map(entriesOf)).toEqual([
    [
      [1, 17],
      [2, 1],
    ],
  ]);
  expect(stepwise.plans[0]!.usedBlocks, "what both have counts once").toBe(4 + 2);
  const ahead = planned({ ...options, allocation: "ahead" }, requests);
  expect(ahead.plans.map(entriesOf)).toEqual([[[1, 17]], [[2, 1]]]);
  for (const { rig } of [stepwise, ahead]) {
    expect(rig.finishes.get(2)!.cachedTokens).toBe(16);
    rig.expectNothingLeft();
  }
});

test("stepwise a prompt takes places as it is computed, and the next is let in by the step that has tokens for it", () => {
  const requests = [1, 2].map((id) => requestOf(id, counted(20, id), { maxTokens: 1 }));
  const { plans, rig } = planned({ maxBatchTokens: 8, allocation: "stepwise" }, requests);
  expect(plans.map(entriesOf)).toEqual([
    [[1, 8]],
    [[1, 8]],
    [
      [1, 4],
      [2, 4],
    ],
    [[2, 8]],
    [[2, 8]],
  ]);
  expect(plans.map(({ usedBlocks }) => usedBlocks)).toEqual([2, 4, 6, 3, 5]);
  expect(plans.map(({ opens }) => opens.map(({ id }) => id))).toEqual([[1], [], [2], [], []]);
  rig.expectNothingLeft();
});

test("stepwise too whole blocks are found, and the last token of a prompt is always computed", () => {
  const again = (length: number) => {
    const rig = new Rig({ allocation: "stepwise" });
    rig.scheduler.submit(requestOf(1, counted(length), { maxTokens: 1 }));
    rig.finish();
    rig.scheduler.submit(requestOf(2, counted(length), { maxTokens: 1 }));
    rig.finish();
    return rig.finishes.get(2)!.cachedTokens;
  };
  expect([15, 16, 17].map(again)).toEqual([12, 12, 16]);
});

test("what is no longer used goes from its end on", () => {
  const rig = new Rig({ blocks: 6, contextTokens: 24, allocation: "stepwise" });
  const first = requestOf(1, counted(16), { maxTokens: 1 });
  const hashes = rig.scheduler.createChain(first.promptTokens, first).hashes();
  rig.scheduler.submit(first);
  rig.finish();
  rig.scheduler.submit(requestOf(2, counted(13, 9), { maxTokens: 1 }));
  rig.finish();
  expect([...hashes].map((hash) => rig.stored.get(hash))).toEqual([1, 1, 0, 0]);
});

test("who was preempted is the last that came, waits before all others, and comes back with a later step", () => {
  const requests = [1, 2, 3, 4].map((id) => requestOf(id, counted(8, id), { maxTokens: 12 }));
  const shape = { blocks: 7, contextTokens: 28, maxBatchTokens: 64, maxRunning: 3 };
  const { plans, rig } = planned({ ...shape, allocation: "stepwise" }, requests);
  const runs = plans.map(({ entries }) => entries.map(({ sequence }) => sequence.id));
  const at = runs.findIndex((ids, step) => step > 0 && ids.length < runs[step - 1]!.length);
  expect(runs.slice(at - 1, at + 1)).toEqual([
    [1, 2, 3],
    [1, 2],
  ]);
  expect(plans[at]!.opens, "nobody is let in by a step that preempts").toEqual([]);
  const opened = plans.slice(at).flatMap(({ opens }) => opens.map(({ id }) => id));
  expect(opened.indexOf(3), "before who came later").toBeLessThan(opened.indexOf(4));
  const { contextTokens } = rig.options;
  for (const each of requests) expect(rig.answers.get(each.id)).toEqual(oracle(each, contextTokens).tokens);
  rig.expectNothingLeft();
});

test("who comes first waits for room before anybody else", () => {
  const requests = [
    requestOf(1, counted(12), { maxTokens: 6 }),
    requestOf(2, counted(16, 5), { maxTokens: 1 }),
    requestOf(3, [7]),
  ];
  const { plans } = planned({ blocks: 6, contextTokens: 24, allocation: "stepwise" }, requests);
  const opened = plans.flatMap(({ opens }) => opens.map(({ id }) => id));
  expect([...new Set(opened)]).toEqual([1, 2, 3]);
});

test("stepwise who waits for room does not keep what it would find; ahead it does", () => {
  const taken = (allocation: Allocation) => {
    const rig = new Rig({ blocks: 8, contextTokens: 32, allocation });
    const [old, young] = [0, 20].map((from) => requestOf(from, counted(8, from), { maxTokens: 1 }));
    for (const each of [old!, young!]) {
      rig.scheduler.submit(each);
      rig.finish();
    }
    rig.scheduler.submit(requestOf(1, counted(9, 30), { maxTokens: 20 }));
    rig.step();
    rig.scheduler.submit(requestOf(2, [...counted(8), ...counted(16, 9)]));
    const lastOf = ({ promptTokens }: GenerateRequest) => rig.scheduler.createChain(promptTokens, old!).hash(1);
    const isThere = (each: GenerateRequest) => rig.stored.get(lastOf(each)) === 1;
    for (let round = 0; isThere(old!) && isThere(young!); round++) {
      holds(round < 20, "one of them goes");
      rig.step();
    }
    return isThere(old!) ? "young" : "old";
  };
  expect([taken("stepwise"), taken("ahead")]).toEqual(["old", "young"]);
});

test("stepwise is for steps that are known one by one and prompts that are cut anywhere", () => {
  const make = (options: Partial<SchedulerOptions>) => () => new Rig({ allocation: "stepwise", ...options });
  expect(make({})).not.toThrow();
  for (const wrong of [{ tokensPerStep: 2 }, { outstandingSteps: 2 }, { oneAdapterPerStep: true }])
    expect(make(wrong)).toThrow("blocks come stepwise");
  const chunks = { chunkTokens: 64, blockTokens: 16, contextTokens: 128, maxBatchTokens: 80, maxScoredTokens: 64 };
  expect(make(chunks)).toThrow("blocks come stepwise");
});

/** One seeded life under pressure; answers are right whoever shared what when. */
function live(seed: number, allocation: Allocation): void {
  const chance: Chance = new SeededChance(BigInt(seed));
  const rig = new Rig({
    blocks: 12 + pick(chance, 10),
    contextTokens: 48,
    maxBatchTokens: 6 + pick(chance, 30),
    allocation,
  });
  const requests: GenerateRequest[] = [];
  for (let round = 0; round < 60; round++) {
    if (pick(chance, 2) === 0) {
      const prompt = [
        ...counted(4 * pick(chance, 4), 7 * pick(chance, 2)),
        ...counted(1 + pick(chance, 12), pick(chance, 3)),
      ];
      const request = requestOf(round, prompt, { maxTokens: 1 + pick(chance, 24), priority: pick(chance, 2) });
      rig.scheduler.submit(request);
      requests.push(request);
    }
    rig.step();
  }
  rig.finish();
  for (const request of requests) {
    const wanted = oracle(request, 48);
    holds(rig.finishes.get(request.id)?.reason === wanted.reason, `request ${request.id} ends as it has to`);
    same(rig.answers.get(request.id) ?? [], wanted.tokens, `the answer of ${request.id}`);
  }
  rig.expectNothingLeft();
}

test("whatever comes, every request ends with the right answer", () => {
  eachSeed(100, (seed) => live(seed, "stepwise"));
});
