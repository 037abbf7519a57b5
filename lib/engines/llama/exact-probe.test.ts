import { expect, test } from "vitest";
import type { Context, ContextOptions, StepPlan, StepResult } from "#lib/native/context";
import type { Model } from "#lib/native/llama";
import { probeExactness } from "./exact-probe.ts";

/** What a library sees when it computes one entry of a step. */
interface Sight {
  readonly slot: number;
  /** Tokens of the entry, entries of the step, tokens before it. */
  readonly rows: number;
  readonly entries: number;
  readonly before: number;
  readonly isPaired: boolean;
}

/** Says by how much bits are off; 0 where they are right. */
type Fault = (sight: Sight) => number;

const ROW_BYTES = 4;
const kvLayout = { layers: [], tokenBytes: ROW_BYTES, exportable: true } as const;

/** A context whose rows are sums over the tokens of a slot, and whose sums have a fault. */
function openContext(options: ContextOptions, onStep: (result: StepResult) => void, fault: Fault): Context {
  const slots = Array.from({ length: options.maxSequences }, (): number[] => []);
  const compute = (plan: StepPlan, entry: number, offset: number): number => {
    const slot = plan.slots[entry]!;
    const known = slots[slot]!;
    const before = known.length;
    expect(plan.positions[entry]).toBe(before);
    known.push(...plan.tokens.subarray(offset, offset + plan.counts[entry]!));
    const rows = plan.counts[entry]!;
    const sight = { slot, rows, before, entries: plan.slots.length, isPaired: options.pairRows ?? false };
    return known.reduce((sum, token, at) => (sum * 31 + token * (at + 1)) % 65_521, 1) + fault(sight);
  };
  const submitStep = (plan: StepPlan) => {
    for (let at = 0; at < plan.ops.length; at += 5) slots[plan.ops[at + 1]!]!.length = 0;
    let offset = 0;
    const sums = [...plan.slots].map((_, entry) => {
      const sum = compute(plan, entry, offset);
      offset += plan.counts[entry]!;
      return sum;
    });
    const drawn = [...plan.slots.keys()].filter((entry) => plan.flags[entry]! > 0);
    const top = {
      entries: Int32Array.from(drawn),
      ids: Int32Array.from(drawn, (entry) => Math.floor(sums[entry]!) % 50),
      values: Float32Array.from(drawn, (entry) => sums[entry]!),
    };
    const tokens = Int32Array.from(sums, (sum) => Math.floor(sum) % 50);
    const ends = new Uint8Array(plan.slots.length);
    const result: StepResult = {
      step: plan.step,
      status: "ok",
      durationUs: 1,
      slots: plan.slots,
      tokens,
      ends,
      top,
      errors: [],
    };
    queueMicrotask(() => onStep(result));
  };
  const calls = { openSequence() {}, closeSequence() {}, abortStep() {}, close() {} };
  const rest = { ...calls, embed: async () => [], stagingBytes: () => 0, stage: async () => {} };
  return {
    ...rest,
    cellTokens: options.cellTokens,
    maxSequences: options.maxSequences,
    maxBatchTokens: options.maxBatchTokens,
    embedTokens: 0,
    kvLayout,
    submitStep,
    async exportBlocks(slot, p0, [into]) {
      into!.set(new Uint8Array(Uint32Array.from(slots[slot]!.slice(p0, p0 + into!.length / ROW_BYTES)).buffer));
      return { checksums: new BigUint64Array(1), durationUs: 0 };
    },
    async importBlocks(slot, p0, blocks) {
      expect(slots[slot]).toHaveLength(p0);
      for (const bytes of blocks) slots[slot]!.push(...new Uint32Array(bytes.slice().buffer));
      return { count: blocks.length, durationUs: 0 };
    },
  };
}

async function verdict(fault: Fault, pairRows = false) {
  const model = {
    vocabSize: 50,
    async openContext(options: ContextOptions, onStep: (result: StepResult) => void) {
      expect(options).toMatchObject({ streams: true, pairRows });
      return openContext(options, onStep, fault);
    },
  } as Pick<Model, "vocabSize" | "openContext"> as Model;
  return probeExactness(model, { threads: 1, chunkTokens: 64, pairRows });
}

test("sums that depend on the request alone are exact beside others", async () => {
  expect(await verdict(() => 0)).toBe("batch");
});

test("rows that are off when they are alone are exact with companions", async () => {
  const alone: Fault = ({ rows, entries, isPaired }) => (rows === 1 && entries === 1 && !isPaired ? 0.5 : 0);
  expect([await verdict(alone), await verdict(alone, true)]).toEqual(["alone", "batch"]);
});

test("a lone row that is off far behind is found as well", async () => {
  const far: Fault = ({ rows, entries, before, isPaired }) =>
    rows === 1 && entries === 1 && before > 512 && !isPaired ? 0.5 : 0;
  expect([await verdict(far), await verdict(far, true)]).toEqual(["alone", "batch"]);
});

test("sums that are off beside others promise what holds alone", async () => {
  expect(await verdict(({ entries }) => (entries > 1 ? 0.5 : 0))).toBe("alone");
  expect(await verdict(({ entries, before }) => (entries > 1 && before > 512 ? 0.5 : 0))).toBe("alone");
});

test("sums that depend on places or cuts promise nothing", async () => {
  expect(await verdict(({ slot }) => slot)).toBe("no");
  expect(await verdict(({ rows }) => (rows === 20 ? 0.5 : 0))).toBe("no");
});
