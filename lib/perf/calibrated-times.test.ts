import { expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { CalibratedTimes } from "./calibrated-times.ts";
import type { PassRecord, PassShape, TimeModel, TimePrior } from "./time-model.ts";
import { NO_TIME, passMsOf } from "./time-prior.ts";

const BLOCK_TOKENS = 16;
const TOTAL_BLOCKS = 16_384;
const GPU: TimePrior = {
  ...{ ...NO_TIME, prefillMs: 16, prefillTokenMs: 0.015, prefillSquareMs: 4e-7 },
  ...{ decodeMs: 6, decodeFillMs: 54, decodeFillSquareMs: -25, decodeLeastMs: 1, passTokens: 8192 },
};
const LINEAR: TimePrior = { ...NO_TIME, prefillTokenMs: 0.125, decodeMs: 10, passTokens: 2048 };

type Kind = "prefill" | "decode" | "both";
const ANY: readonly Kind[] = ["prefill", "decode", "decode", "decode", "both"];

function randomShape(chance: Chance, kind: Kind): PassShape {
  const prefillTokens = kind === "decode" ? 0 : 64 + pick(chance, 4_000);
  const decodeSequences = kind === "prefill" ? 0 : 1 + pick(chance, 60);
  return {
    prefillTokens,
    prefillContextTokens: prefillTokens > 0 ? prefillTokens + pick(chance, 4_000) : 0,
    decodeSequences,
    decodeContextTokens: decodeSequences * (200 + pick(chance, 2_000)),
    poolTokens: BLOCK_TOKENS * TOTAL_BLOCKS,
  };
}

function recordOf(shape: PassShape, ms: number, more: Partial<PassRecord> = {}): PassRecord {
  const { poolTokens: _, ...counts } = shape;
  const levels = { usedBlocks: 0, totalBlocks: TOTAL_BLOCKS, runningRequests: 0, waitingRequests: 0, waitingTokens: 0 };
  return { rank: 0, durationUs: Math.round(ms * 1000), ...counts, ...levels, mergedSteps: 0, ...more };
}

/** How many of passes are learned from: all with prompts, of the others the first 64 and every sixteenth. */
function learnedFrom(kinds: readonly Kind[]): number {
  const alone = kinds.filter((kind) => kind === "decode").length;
  const sampled = Math.max(0, Math.floor(alone / 16) - 4);
  return kinds.length - alone + Math.min(64, alone) + sampled;
}

interface World {
  readonly truth: (shape: PassShape) => number;
  readonly passes?: number;
  readonly kinds?: readonly Kind[];
  /** One in so many takes a hundred times as long. */
  readonly pauses?: number;
}

/** Shows a model passes of a worker, each up to a tenth longer or shorter than the truth. */
function show(times: CalibratedTimes, world: World, chance: Chance = new SeededChance(9n)): CalibratedTimes {
  const { truth, passes = 300, kinds = ANY, pauses = Number.POSITIVE_INFINITY } = world;
  for (let pass = 1; pass <= passes; pass++) {
    const shape = randomShape(chance, kinds[pick(chance, kinds.length)]!);
    const noise = 0.9 + 0.2 * chance.next();
    times.observe(recordOf(shape, truth(shape) * noise * (pass % pauses === 0 ? 100 : 1)));
  }
  return times;
}

/** The kinds of as many passes as `show` shows. */
function kindsOf(passes: number, chance: Chance = new SeededChance(9n)): Kind[] {
  return Array.from({ length: passes }, () => {
    const kind = ANY[pick(chance, ANY.length)]!;
    randomShape(chance, kind);
    chance.next();
    return kind;
  });
}

/** Mean distance of predictions from the truth, as a logarithm. */
function errorOf(times: TimeModel, truth: (shape: PassShape) => number, kind: Kind): number {
  const chance = new SeededChance(77n);
  let sum = 0;
  for (let each = 0; each < 200; each++) {
    const shape = randomShape(chance, kind);
    sum += Math.abs(Math.log(times.passMs(shape) / truth(shape)));
  }
  return sum / 200;
}

function learned(prior: TimePrior | undefined, world: World): CalibratedTimes {
  return show(new CalibratedTimes({ prior, blockTokens: BLOCK_TOKENS }), world);
}

const KINDS: readonly Kind[] = ["prefill", "decode", "both"];

test("before anything is seen the prior holds", () => {
  const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  const shape = randomShape(new SeededChance(1n), "both");
  expect(times.passMs(shape)).toBeCloseTo(passMsOf(GPU, shape), 12);
  expect(times).toMatchObject({ factor: 1, passes: 0, isGuess: false, passTokens: 8192 });
});

test.each([Math.exp(0.4), Math.exp(-0.4), 4, 0.25])("a prior that is wrong by a factor %f is put right", (factor) => {
  const truth = (shape: PassShape) => factor * passMsOf(GPU, shape);
  const before = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  const after = learned(GPU, { truth });
  for (const kind of KINDS) {
    expect(errorOf(before, truth, kind)).toBeGreaterThan(0.39);
    expect(errorOf(after, truth, kind), kind).toBeLessThan(0.05);
  }
  expect(Math.abs(Math.log(after.factor / factor))).toBeLessThan(0.05);
  expect(after.passes).toBe(learnedFrom(kindsOf(300)));
});

test("so is one whose parts are wrong in opposite directions", () => {
  const truth = (shape: PassShape) =>
    1.5 * passMsOf(GPU, { ...shape, decodeSequences: 0 }) + 0.6 * passMsOf(GPU, { ...shape, prefillTokens: 0 });
  const times = learned(GPU, { truth });
  for (const kind of ["prefill", "both"] as const) expect(errorOf(times, truth, kind), kind).toBeLessThan(0.06);
});

test.each([
  ["a linear worker under a GPU's prior", GPU, LINEAR],
  ["a GPU under a linear prior", LINEAR, GPU],
  ["a GPU under no prior", undefined, GPU],
  ["a linear worker under no prior", undefined, LINEAR],
  ["a GPU whose card says that it takes no time", NO_TIME, GPU],
] as const)("%s is learned, shape and all", (_, prior, truth) => {
  const times = learned(prior, { truth: (shape) => passMsOf(truth, shape), passes: 600 });
  for (const kind of KINDS)
    expect(
      errorOf(times, (shape) => passMsOf(truth, shape), kind),
      kind,
    ).toBeLessThan(0.08);
});

test("while only decoding is seen, prefill keeps the prior's shape by much of the factor that is known", () => {
  const world: World = { truth: (shape) => 1.5 * passMsOf(GPU, shape), kinds: ["decode"], passes: 4_000 };
  const seeds = [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n];
  const factors = seeds.flatMap((seed) => {
    const times = show(new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS }), world, new SeededChance(seed));
    const chance = new SeededChance(4n);
    return Array.from({ length: 50 }, () => {
      const shape = randomShape(chance, "prefill");
      return times.passMs(shape) / passMsOf(GPU, shape);
    });
  });
  expect(Math.min(...factors)).toBeGreaterThan(1.1);
  expect(Math.max(...factors)).toBeLessThan(1.5);
  expect(factors.reduce((sum, factor) => sum + factor) / factors.length).toBeGreaterThan(1.2);
});

test("what was learned of prefill stays while only decoding is seen", () => {
  const truth = (shape: PassShape) => (shape.prefillTokens > 0 ? 2 : 1) * passMsOf(GPU, shape);
  const times = learned(GPU, { truth, kinds: ["prefill", "decode"] });
  show(times, { truth, kinds: ["decode"], passes: 16_000 });
  expect(errorOf(times, truth, "prefill")).toBeLessThan(0.1);
});

test("a worker that becomes slower is followed, and so is one that recovers", () => {
  const truth = (shape: PassShape) => passMsOf(GPU, shape);
  const slow = (shape: PassShape) => 2 * truth(shape);
  const times = show(learned(GPU, { truth, passes: 1_000 }), { truth: slow, passes: 5_000 });
  for (const kind of KINDS) expect(errorOf(times, slow, kind), kind).toBeLessThan(0.1);
  expect(times.factor).toBeGreaterThan(1.9);
  show(times, { truth, passes: 5_000 });
  for (const kind of KINDS) expect(errorOf(times, truth, kind), kind).toBeLessThan(0.1);
});

test("a process that pauses now and then is not a slow one", () => {
  const truth = (shape: PassShape) => passMsOf(GPU, shape);
  const times = learned(GPU, { truth, passes: 600, pauses: 40 });
  for (const kind of KINDS) expect(errorOf(times, truth, kind), kind).toBeLessThan(0.08);
  const shape = randomShape(new SeededChance(3n), "both");
  const beforeMs = times.passMs(shape);
  times.observe(recordOf(shape, 60_000));
  expect(times.passMs(shape) / beforeMs).toBeLessThan(1.05);
});

test("nothing is learned from what took no time, computed nothing or was joined", () => {
  const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  const shape = randomShape(new SeededChance(3n), "both");
  times.observe(recordOf(shape, 0));
  times.observe(recordOf(shape, 50, { mergedSteps: 1 }));
  times.observe(recordOf({ ...shape, prefillTokens: 0, decodeSequences: 0 }, 50));
  expect(times).toMatchObject({ passes: 0, factor: 1 });
  expect(times.passMs(shape)).toBeCloseTo(passMsOf(GPU, shape), 12);
});

test("of passes that decode alone the first 64 and then every sixteenth is learned from, of others each", () => {
  const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  const decode = randomShape(new SeededChance(3n), "decode");
  const one = (shape: PassShape, factor: number, more?: Partial<PassRecord>) => {
    const before = { prior: times.toPrior(), factor: times.factor, passes: times.passes };
    times.observe(recordOf(shape, factor * passMsOf(GPU, shape), more));
    const { passes } = before;
    if (times.passes === passes) expect({ prior: times.toPrior(), factor: times.factor, passes }).toEqual(before);
    return times.passes - passes;
  };
  const kinds: Kind[] = [];
  for (let pass = 1; pass <= 200; pass++) {
    kinds.push("decode");
    expect(one(decode, 1 + (pass % 7) / 10), `pass ${pass}`).toBe(pass <= 64 || pass % 16 === 0 ? 1 : 0);
  }
  expect(times.passes).toBe(learnedFrom(kinds));
  for (const kind of ["prefill", "both"] as const) {
    for (let pass = 0; pass < 100; pass++) expect(one(randomShape(new SeededChance(5n), kind), 1.1), kind).toBe(1);
  }
  // What is never learned from is none of the fifteen; the 208th is the next.
  for (let pass = 0; pass < 20; pass++) expect(one(decode, 1, { mergedSteps: 1 })).toBe(0);
  for (let pass = 201; pass < 208; pass++) expect(one(decode, 1), `pass ${pass}`).toBe(0);
  expect(one(decode, 1)).toBe(1);
});

test("a worker whose decoding alone becomes slower is followed", () => {
  const truth = (shape: PassShape) => passMsOf(GPU, shape);
  const slow = (shape: PassShape) => 2 * truth(shape);
  const times = show(learned(GPU, { truth, passes: 500 }), { truth: slow, kinds: ["decode"], passes: 3_000 });
  expect(errorOf(times, slow, "decode")).toBeLessThan(0.1);
});

test("without a prior the first pass sets the unit, and there is no factor", () => {
  const times = new CalibratedTimes({ prior: undefined, blockTokens: 0 });
  expect(times).toMatchObject({ isGuess: true, factor: 1, passes: 0 });
  const shape = randomShape(new SeededChance(3n), "decode");
  times.observe(recordOf(shape, 7, { totalBlocks: 0 }));
  expect(times.passMs({ ...shape, poolTokens: 0 })).toBeCloseTo(7, 0);
  expect(times).toMatchObject({ isGuess: true, factor: 1, passes: 1, passTokens: 2_048 });
  times.observe(recordOf({ ...shape, prefillTokens: 8_000, decodeSequences: 192 }, 7));
  expect(times.passTokens, "the most that was seen").toBe(8_192);
});

test("whatever a worker says, a pass takes a time that can be", () => {
  const chance = new SeededChance(21n);
  const big = () => Math.floor(2 ** (32 * chance.next())) - 1;
  for (const prior of [GPU, LINEAR, NO_TIME, undefined]) {
    const times = new CalibratedTimes({ prior, blockTokens: BLOCK_TOKENS });
    const anything = () => ({
      ...{ prefillTokens: big(), prefillContextTokens: big(), decodeSequences: big(), decodeContextTokens: big() },
      poolTokens: big(),
    });
    for (let pass = 0; pass < 2_000; pass++) {
      times.observe(recordOf(anything(), big() / 1000, { totalBlocks: big() }));
      const ms = times.passMs(anything());
      expect(ms >= 0 && Number.isFinite(ms), `pass ${pass}: ${ms}`).toBe(true);
      expect(Number.isFinite(times.factor) && times.factor >= 0).toBe(true);
    }
  }
});

const LACKS: Partial<TimePrior>[] = [
  ...[{ passMs: 9 }, { prefillMs: 20 }, { prefillTokenMs: 0.03 }, { prefillContextMs: 0.02 }],
  ...[{ decodeMs: 9 }, { decodeSequenceMs: 0.9 }, { decodeContextMs: 0.0004 }],
];
test.each(LACKS)("what a prior lacks is learned: %j", (lack) => {
  const part = { ...NO_TIME, ...lack };
  const truth = (shape: PassShape) => passMsOf(GPU, shape) + passMsOf(part, shape);
  const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  const chance = new SeededChance(12n);
  for (let pass = 0; pass < 800; pass++) {
    const shape = randomShape(chance, ANY[pass % ANY.length]!);
    times.observe(recordOf(shape, truth(shape)));
  }
  for (const kind of KINDS) expect(errorOf(times, truth, kind), kind).toBeLessThan(0.02);
});

test("the factor is what was seen for what the prior says, over some sixty passes that were learned from", () => {
  const chance = new SeededChance(8n);
  const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  const kinds: Kind[] = [];
  let [seen, said] = [0, 0];
  for (let pass = 0; pass < 400; pass++) {
    const kind = ANY[pass % ANY.length]!;
    const shape = randomShape(chance, kind);
    const ms = passMsOf(GPU, shape) * (0.8 + 0.3 * chance.next());
    times.observe(recordOf(shape, ms));
    kinds.push(kind);
    if (learnedFrom(kinds) === learnedFrom(kinds.slice(0, -1))) continue;
    seen = (seen * 63) / 64 + Math.round(ms * 1000) / 1000;
    said = (said * 63) / 64 + passMsOf(GPU, shape);
    expect(times.factor).toBeCloseTo(seen / said, 9);
  }
});

test("one pass that is far off counts as twice as far, and those that go on so count more and more", () => {
  const shape = randomShape(new SeededChance(3n), "both");
  const usualMs = passMsOf(GPU, shape);
  const learnedFrom = (factors: readonly number[]) => {
    const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
    for (let pass = 0; pass < 100; pass++) times.observe(recordOf(shape, usualMs));
    for (const factor of factors) times.observe(recordOf(shape, usualMs * factor));
    return times.factor;
  };
  const once = (factor: number) => learnedFrom([factor]) - learnedFrom([1]);
  expect(once(1.9)).toBeGreaterThan(once(1.5));
  for (const factor of [3, 50, 10_000]) expect(once(factor)).toBeCloseTo(once(2), 4);
  for (const factor of [0.3, 0.001]) expect(once(factor)).toBeCloseTo(once(0.5), 4);
  const tenTimes = Array.from({ length: 30 }, () => 10);
  expect(learnedFrom(tenTimes)).toBeGreaterThan(3);
});

test("a pass of one token is a pass, of its own kind", () => {
  const one = {
    prefillTokens: 1,
    prefillContextTokens: 1,
    decodeSequences: 1,
    decodeContextTokens: 1,
    poolTokens: 262_144,
  };
  const shapes = [
    one,
    { ...one, prefillTokens: 0, prefillContextTokens: 0 },
    { ...one, decodeSequences: 0, decodeContextTokens: 0 },
  ];
  const seenMs = [75, 20, 60];
  const times = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  for (let pass = 0; pass < 300; pass++) {
    for (const [at, shape] of shapes.entries()) times.observe(recordOf(shape, seenMs[at]!));
  }
  for (const [at, shape] of shapes.entries()) expect(times.passMs(shape) / seenMs[at]!).toBeCloseTo(1, 1);
  for (let pass = 0; pass < 4_800; pass++) times.observe(recordOf(shapes[1]!, 20));
  expect(times.passMs(shapes[0]!) / 75, "what is not seen any more stays for long").toBeGreaterThan(0.9);
});

test("what is known is a prior to whoever goes on from it", () => {
  const said = {
    ...GPU,
    passMs: 1,
    prefillContextMs: 0.001,
    decodeSequenceMs: 0.1,
    decodeContextMs: 1e-4,
    decodeLeastMs: 0,
  };
  const times = learned(said, { truth: (shape) => 1.7 * passMsOf(LINEAR, shape), passes: 100 });
  const prior = times.toPrior();
  for (const kind of KINDS) expect(errorOf(times, (shape) => passMsOf(prior, shape), kind)).toBeLessThan(1e-9);
  const unseen = new CalibratedTimes({ prior: GPU, blockTokens: BLOCK_TOKENS });
  expect(unseen.toPrior()).toEqual(GPU);
  expect(new CalibratedTimes({ prior: NO_TIME, blockTokens: 0 }).toPrior()).toEqual(NO_TIME);
});
