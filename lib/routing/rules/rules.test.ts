import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { type CandidateRow, candidatesOf, ruleAsk } from "../../../test/support/candidates.ts";
import { preferenceFactor } from "../cost/preference.ts";
import { readRuleConstants, routingDefaults } from "../options.ts";
import { choose, weighedCosts } from "./choose.ts";
import type { RuleConstants } from "./constants.ts";
import type { RuleAsk } from "./rule.ts";
import { RULE_NAMES, RULES, type RuleName } from "./table.ts";

const DEFAULTS = readRuleConstants(routingDefaults());

/** Costs of rows by a rule, and that its terms say the same. */
function costsBy(
  name: RuleName,
  rows: readonly CandidateRow[],
  more: { readonly ask?: Partial<RuleAsk>; readonly constants?: Partial<RuleConstants> } = {},
): number[] {
  const rule = RULES[name].create({ ...DEFAULTS, ...more.constants });
  const [ask, of] = [ruleAsk(more.ask), candidatesOf(rows)];
  const costs = new Float64Array(rows.length);
  rule.score(ask, of, costs);
  for (const [at, cost] of costs.entries()) {
    const terms = rule.terms(ask, of, at).filter(({ counts }) => counts);
    expect(terms.reduce((sum, { value }) => sum + value, 0)).toBeCloseTo(cost, 9);
    expect(cost).toBeGreaterThanOrEqual(0);
  }
  return [...costs];
}

function chosenBy(name: RuleName, rows: readonly CandidateRow[], more: Parameters<typeof costsBy>[2] = {}): number {
  const rule = RULES[name].create({ ...DEFAULTS, ...more.constants });
  const costs = new Float64Array(rows.length);
  return choose(rule, ruleAsk(more.ask), candidatesOf(rows), { costs, chance: new SeededChance(1n) });
}

const blocks = (count: number) => count * 16;

describe("the reference's cost", () => {
  it.each([
    ["nothing cached", { potentialBlocks: 64 }, {}, 128],
    ["the device's blocks", { rawPrefillTokens: 2_048, potentialBlocks: 72, deviceTokens: blocks(48) }, {}, 216],
    [
      "a credit that decays",
      { rawPrefillTokens: 2_048, potentialBlocks: 72, deviceTokens: blocks(48) },
      { overlapCreditDecay: 1 },
      248,
    ],
    [
      "lower tiers",
      {
        ...{ rawPrefillTokens: 512, potentialBlocks: 70 },
        ...{ deviceTokens: blocks(16), hostTokens: blocks(16), diskTokens: blocks(8) },
      },
      {},
      136,
    ],
    [
      "a store outside",
      { rawPrefillTokens: 512, potentialBlocks: 70, deviceTokens: blocks(16), externalTokens: blocks(8) },
      {},
      146,
    ],
  ])("with %s is the golden number", (_, row, constants, expected) => {
    // The second has nothing to compute: the decay is measured from it.
    expect(costsBy("dynamo", [row, { potentialBlocks: 1_000 }], { constants })[0]).toBeCloseTo(expected, 9);
  });

  it("is the worked example", () => {
    const rows = [
      [2, 10],
      [5, 5],
      [8, 9],
    ].map(([overlap, decode]) => ({ deviceTokens: blocks(overlap!), potentialBlocks: decode! }));
    const ask = { promptTokens: blocks(10) };
    expect(costsBy("dynamo", rows, { ask })).toEqual([18, 10, 11]);
    expect(chosenBy("dynamo", rows, { ask })).toBe(1);
  });

  it("scales prefill, never counts it below nothing, and weighs open requests", () => {
    const row = { potentialBlocks: 10, openRequests: 6, deviceTokens: blocks(48) };
    expect(costsBy("dynamo", [row], { constants: { prefillLoadScale: 4 } })).toEqual([74]);
    expect(costsBy("dynamo", [row], { constants: { overlapCredit: 3 } })).toEqual([10]);
    expect(costsBy("dynamo", [row], { constants: { activeRequestWeight: 0.5 } })).toEqual([29]);
  });

  it("has the least to compute as the measure of its decay", () => {
    const rows = [{ rawPrefillTokens: 3_072, deviceTokens: blocks(32) }, { rawPrefillTokens: 1_024 }];
    const [first] = costsBy("dynamo", rows, { constants: { overlapCreditDecay: 1 } });
    expect(first).toBeCloseTo(256 - 32 / 3, 9);
  });

  it("draws where it has a temperature", () => {
    const rows = [{ potentialBlocks: 10 }, { potentialBlocks: 11 }];
    for (const name of ["dynamo", "dynamo-2025", "lmetric"] as const) {
      const rule = RULES[name].create({ ...DEFAULTS, temperature: 1 });
      expect([rule.isDrawn, RULES[name].create(DEFAULTS).isDrawn]).toEqual([true, false]);
      const chance = { next: () => 0.99, id: () => 1n };
      const at = choose(rule, ruleAsk(), candidatesOf(rows), { costs: new Float64Array(2), chance });
      expect(at).toBe(1);
      expect(chosenBy(name, rows)).toBe(0);
    }
  });

  it("of 2025 counts what is computed and what is in use", () => {
    const row = { deviceTokens: blocks(48), prefillTokens: 320, rawPrefillTokens: 9_999, potentialBlocks: 7 };
    expect(costsBy("dynamo-2025", [row])).toEqual([16 + 20 + 7]);
    expect(costsBy("dynamo-2025", [row], { constants: { prefillLoadScale: 4 } })).toEqual([4 * 36 + 7]);
  });
});

it("lmetric multiplies what is to be computed with what is in use", () => {
  const rows = [
    { rawPrefillTokens: 2_048, deviceTokens: blocks(48), potentialBlocks: 72 },
    { deviceTokens: blocks(64), potentialBlocks: 72 },
  ];
  expect(costsBy("lmetric", rows)).toEqual([144 * 73, 0]);
});

describe("the SMG rules", () => {
  const both = ["smg-event", "smg-tree"] as const;

  it.each(both)("%s evens out requests that lie too unevenly, and not before", (name) => {
    const rows = (most: number, least: number) => [
      { openRequests: most, deviceTokens: 1_008 },
      { openRequests: least },
    ];
    expect(chosenBy(name, rows(65, 0))).toBe(1);
    expect(chosenBy(name, rows(64, 0))).toBe(0);
    // Not by more than half as much again.
    expect(chosenBy(name, rows(195, 130))).toBe(0);
    expect(chosenBy(name, rows(196, 130))).toBe(1);
    const constants = { balanceAbsolute: 2, balanceRelative: 1.1 };
    expect(chosenBy(name, rows(5, 2), { constants })).toBe(1);
    expect(chosenBy(name, rows(4, 2), { constants })).toBe(0);
    expect(costsBy(name, rows(196, 130))).toEqual([197, 131]);
  });

  it("smg-event takes the longest match, then the fewest requests, then the fewest blocks", () => {
    const row = (deviceTokens: number, openRequests: number, heldBlocks: number) => ({
      ...{ deviceTokens, openRequests, heldBlocks },
    });
    expect(chosenBy("smg-event", [row(512, 0, 0), row(528, 60, 9)])).toBe(1);
    expect(chosenBy("smg-event", [row(512, 3, 0), row(512, 2, 9)])).toBe(1);
    expect(chosenBy("smg-event", [row(512, 3, 5), row(512, 3, 4)])).toBe(1);
    expect(chosenBy("smg-event", [row(0, 3, 5), row(0, 2, 9)])).toBe(1);
    expect(costsBy("smg-event", [row(0, 3, 5), row(0, 2, 9)])).toEqual([4, 3]);
    expect(costsBy("smg-event", [row(512, 1, 3), row(544, 1, 0)])).toEqual([3 + 1 / 2 + 3 / 4 / 2, 1 + 1 / 2]);
  });

  it("smg-tree follows matches above its threshold, and else the smallest cache", () => {
    const rows = (match: number) => [{ deviceTokens: match, heldBlocks: 9 }, { heldBlocks: 4 }];
    const ask = { promptTokens: 1_000 };
    expect(costsBy("smg-tree", rows(301), { ask })).toEqual([1, 1 + 301 / 16]);
    expect(costsBy("smg-tree", rows(300), { ask })).toEqual([10, 5]);
    expect(costsBy("smg-tree", rows(300), { ask, constants: { cacheThreshold: 0.2 } })).toEqual([1, 1 + 300 / 16]);
  });

  it("smg-least-load adds time to compute and pressure on the pool", () => {
    const rows = [
      { prefillTokens: 1_000, tokensPerSecond: 500, usedBlocks: 50, totalBlocks: 100 },
      { prefillTokens: 1_000, usedBlocks: 5 },
      { usedBlocks: 100, totalBlocks: 100 },
      { usedBlocks: 20, totalBlocks: 100 },
    ];
    const [first, second, third, fourth] = costsBy("smg-least-load", rows);
    expect([first, second]).toEqual([2_000 + 150 + 1, 500 + 1]);
    expect(third).toBeCloseTo(150 * 999 + 1, 6);
    expect(fourth).toBeCloseTo(38.5, 9);
  });
});

describe("aibrix-prefix", () => {
  it("takes the fewest requests where they differ by more than eight", () => {
    const rows = (most: number) => [{ openRequests: most, deviceTokens: 512 }, { openRequests: 1 }];
    expect(costsBy("aibrix-prefix", rows(10))).toEqual([11, 2]);
    expect(chosenBy("aibrix-prefix", [...rows(9), { openRequests: 9 }, { openRequests: 9 }])).toBe(0);
  });

  it("takes the longest match among those with at most the mean and one deviation, then the fewest requests", () => {
    // Requests 0, 0, 0, 4: mean 1, deviation 1.73.
    const rows = [{ deviceTokens: 32 }, { deviceTokens: 48 }, {}, { deviceTokens: 512, openRequests: 4 }];
    expect(costsBy("aibrix-prefix", rows)).toEqual([2, 1, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    // Requests 1 and 3: mean 2, deviation 1: three is allowed.
    expect(chosenBy("aibrix-prefix", [{ openRequests: 1 }, { openRequests: 3, deviceTokens: 16 }])).toBe(1);
    const equal = [
      { openRequests: 2, deviceTokens: 16 },
      { openRequests: 1, deviceTokens: 16 },
    ];
    expect(costsBy("aibrix-prefix", equal)).toEqual([1 + 2 / 3, 1 + 1 / 3]);
  });

  it("takes the fewest requests where no allowed one matches", () => {
    const rows = [
      { openRequests: 0 },
      { openRequests: 0 },
      { openRequests: 0 },
      { openRequests: 4, deviceTokens: 512 },
    ];
    expect(costsBy("aibrix-prefix", rows)).toEqual([1, 1, 1, 5]);
  });
});

describe("llm-d", () => {
  it("takes points off by its weights", () => {
    const rows = [
      { waitingRequests: 4, usedBlocks: 50, totalBlocks: 100, deviceTokens: 512 },
      { waitingRequests: 2, usedBlocks: 300, totalBlocks: 100, deviceTokens: 1_024 },
      { waitingRequests: 3 },
    ];
    // Queue, pool, prompt, and the neutral half where somebody has something.
    expect(costsBy("llm-d", rows)).toEqual([2 + 1 + 1.5 + 1, 0 + 2 + 0 + 1, 1 + 0 + 3 + 1]);
  });

  it("sends prompts that nobody knows to who got one longest ago", () => {
    const rows = [{ coldTurn: 5 }, { coldTurn: 2 }, { coldTurn: 9 }, {}];
    expect(costsBy("llm-d", rows)).toEqual([3 + 4 / 3, 3 + 2 / 3, 3 + 2, 3]);
    expect(costsBy("llm-d", [{}, {}])).toEqual([3, 5]);
    expect(costsBy("llm-d", [{ coldTurn: 3 }])).toEqual([3]);
  });

  it("compares no more than 100,000 tokens of a prompt", () => {
    const rows = [{ deviceTokens: 100_000 }, { deviceTokens: 50_000 }];
    expect(costsBy("llm-d", rows, { ask: { promptTokens: 400_000 } })).toEqual([1, 2.5]);
  });
});

describe("rules that look at no prompt", () => {
  const three = [{ openRequests: 2 }, { openRequests: 1 }, { openRequests: 1 }];

  it("least-request takes the fewest, and ties in turn", () => {
    expect(costsBy("least-request", three)).toEqual([3, 2, 2]);
    const at = [0, 1, 2, 3].map((turn) => chosenBy("least-request", three, { ask: { turn } }));
    expect(at).toEqual([1, 1, 2, 1]);
  });

  it("power-of-two takes the better of two that differ, the first of equal ones", () => {
    const rule = RULES["power-of-two"].create(DEFAULTS);
    const at = (costs: number[], ...draws: number[]) => {
      return rule.pick(ruleAsk(), Float64Array.from(costs), { next: () => draws.shift()!, id: () => 1n }, costs.length);
    };
    expect([at([5, 1, 1], 0, 0), at([5, 1, 1], 0, 0.9), at([1, 1, 5], 0, 0), at([1, 1, 5], 0.4, 0.9)]).toEqual([
      1, 2, 0, 1,
    ]);
    expect(at([5], 0.9)).toBe(0);
    expect(at([1, 9], 0.9, 0.9)).toBe(0);
    expect(rule.isDrawn).toBe(true);
  });

  it("random draws evenly, and by costs where they differ", () => {
    const rule = RULES.random.create(DEFAULTS);
    const at = (costs: number[], draw: number) => {
      return rule.pick(ruleAsk(), Float64Array.from(costs), { next: () => draw, id: () => 1n }, costs.length);
    };
    expect([0, 0.33, 0.34, 0.67, 0.99].map((draw) => at([1, 1, 1], draw))).toEqual([0, 0, 1, 2, 2]);
    expect([0, 0.66, 0.67, 0.99].map((draw) => at([0.5, 1], draw))).toEqual([0, 0, 1, 1]);
    expect(rule.isDrawn).toBe(true);
  });

  it("round-robin takes one after the other", () => {
    const rows = [{}, {}, {}];
    expect([0, 1, 2, 3].map((turn) => chosenBy("round-robin", rows, { ask: { turn } }))).toEqual([0, 1, 2, 0]);
    expect(costsBy("round-robin", rows, { ask: { turn: 4 } })).toEqual([3, 1, 2]);
  });

  it("direct takes nobody that is not named", () => {
    expect(costsBy("direct", [{}, {}])).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  });
});

describe("session", () => {
  it("moves only the sessions of a worker that leaves", () => {
    const at = (count: number, session: bigint) =>
      chosenBy(
        "session",
        Array.from({ length: count }, () => ({})),
        { ask: { session } },
      );
    let moved = 0;
    const counts = [0, 0, 0, 0];
    for (let session = 1n; session <= 400n; session++) {
      const [four, three] = [at(4, session), at(3, session)];
      counts[four]!++;
      if (four === 3) moved++;
      else expect(three).toBe(four);
    }
    expect(moved).toBe(counts[3]);
    for (const count of counts) expect(count).toBeGreaterThan(70);
  });

  it("tells ranks apart, and takes the fewest requests where there is no session", () => {
    const ranks = [{ rank: 0 }, { rank: 1 }];
    const chosen = new Set(
      Array.from({ length: 20 }, (_, at) => chosenBy("session", ranks, { ask: { session: BigInt(at) } })),
    );
    expect(chosen.size).toBe(2);
    expect(costsBy("session", [{ openRequests: 3 }, {}])).toEqual([4, 1]);
  });
});

describe("what a request prefers", () => {
  it.each([
    [-10, Math.exp(1)],
    [-1, 2.141688],
    [0, 1],
    [0.5, 0.629949],
    [1, 0.466921],
    [10, 0.367879],
  ])("with weight %d multiplies costs by %d", (weight, factor) => {
    expect(preferenceFactor(weight)).toBeCloseTo(factor, 6);
    const costs = new Float64Array(2);
    const of = candidatesOf([{ potentialBlocks: 36, preference: weight }, { potentialBlocks: 36 }]);
    weighedCosts(RULES.dynamo.create(DEFAULTS), ruleAsk(), of, costs);
    expect(costs[0]).toBeCloseTo(100 * factor, 3);
    expect(costs[1]).toBe(100);
  });

  it.each(RULE_NAMES.filter((name) => name !== "direct"))("%s would rather have it, all else being equal", (name) => {
    const row = {
      ...{ deviceTokens: 512, potentialBlocks: 64, openRequests: 3, prefillTokens: 100, totalBlocks: 9, usedBlocks: 3 },
      prior: { prefillTokenMs: 1 },
    };
    const rows = [row, { ...row, preference: 10 }];
    let preferred = 0;
    for (let seed = 1n; seed <= 200n; seed++) {
      const rule = RULES[name].create(DEFAULTS);
      const [ask, chance] = [ruleAsk({ turn: Number(seed), session: seed }), new SeededChance(seed)];
      preferred += choose(rule, ask, candidatesOf(rows), { costs: new Float64Array(2), chance });
    }
    expect(preferred).toBeGreaterThan(115);
  });
});

it("every rule chooses one of them, the same again, whatever the numbers", () => {
  const chance = new SeededChance(77n);
  for (let turn = 0; turn < 60; turn++) {
    const rows = Array.from({ length: 1 + Math.floor(chance.next() * 9) }, () => ({
      deviceTokens: Math.floor(chance.next() * 1_023),
      prefillTokens: Math.floor(chance.next() * 4) * 300,
      rawPrefillTokens: 1_200,
      openRequests: Math.floor(chance.next() * 40),
      maxRunningRequests: Math.floor(chance.next() * 3) * 10,
      potentialBlocks: Math.floor(chance.next() * 90),
      usedBlocks: Math.floor(chance.next() * 100),
      totalBlocks: 100,
      heldBlocks: Math.floor(chance.next() * 1_000),
      prefillUtilisation: chance.next(),
      preference: Math.floor(chance.next() * 5) - 2,
      prior: { passMs: 1, prefillTokenMs: chance.next(), passTokens: 512 },
    }));
    for (const name of RULE_NAMES.filter((each) => each !== "direct")) {
      const at = chosenBy(name, rows, { ask: { turn } });
      expect(at).toBeGreaterThanOrEqual(0);
      expect(at).toBeLessThan(rows.length);
      expect(chosenBy(name, rows, { ask: { turn } })).toBe(at);
      if (name !== "lmetric" && name !== "llm-d") costsBy(name, rows, { ask: { turn } });
    }
  }
});
