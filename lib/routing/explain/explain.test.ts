import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { type CandidateRow, candidatesOf, ruleAsk } from "../../../test/support/candidates.ts";
import { fleetWorker, promptOf, RoutingRig, routeAskOf } from "../../../test/support/routing-rig.ts";
import { readRuleConstants, routingDefaults } from "../options.ts";
import { weighedCosts } from "../rules/choose.ts";
import { RULES, type RuleName } from "../rules/table.ts";
import type { Flip } from "./explanation.ts";
import { findFlips } from "./flip.ts";

const DEFAULTS = readRuleConstants(routingDefaults());
const prior = { prefillTokenMs: 1, passTokens: 100 };

function flipsOf(name: RuleName, rows: readonly CandidateRow[], promptTokens = 1_000): Flip[] {
  const rule = RULES[name].create(DEFAULTS);
  const [ask, candidates] = [ruleAsk({ promptTokens }), candidatesOf(rows)];
  const costs = new Float64Array(rows.length);
  weighedCosts(rule, ask, candidates, costs);
  const order = [...costs.keys()].sort((left, right) => costs[left]! - costs[right]!);
  return findFlips({ rule, ask, candidates, chosen: order[0]!, runnerUp: order[1]! });
}

const shown = (flips: readonly Flip[]) => flips.map(({ what, candidate, by, cost }) => [what, candidate, by, cost]);

describe("what would have flipped a choice", () => {
  it("is the least change that does, of each thing", () => {
    const rows = [
      { prior, deviceTokens: 600, prefillTokens: 50, rawPrefillTokens: 50 },
      { prior, deviceTokens: 100, prefillTokens: 30, rawPrefillTokens: 30 },
    ];
    // 850 against 1830, and each token of its own counts twice: 981 ms.
    expect(shown(flipsOf("ttft", rows))).toEqual([
      ["cached tokens", 0, -491, 982],
      ["cached tokens", 1, 491, -982],
      ["tokens to compute", 0, 981, 981],
    ]);
    const busy = [
      { prior, deviceTokens: 600 },
      { prior, deviceTokens: 700, prefillTokens: 385, rawPrefillTokens: 385 },
    ];
    expect(shown(flipsOf("ttft", busy))).toEqual([
      ["cached tokens", 0, -93, 186],
      ["cached tokens", 1, 93, -186],
      ["tokens to compute", 0, 186, 186],
      ["tokens to compute", 1, -186, -186],
    ]);
    expect(shown(flipsOf("least-request", [{ openRequests: 2 }, { openRequests: 5 }]))).toEqual([
      ["open requests", 0, 4, 4],
      ["open requests", 1, -4, -4],
    ]);
  });

  it("names who is chosen then, which may be a third one", () => {
    const rows = [{ openRequests: 1 }, { openRequests: 2 }, { openRequests: 2 }];
    const [flip] = flipsOf("least-request", rows);
    expect(flip).toMatchObject({ candidate: 0, by: 2, chooses: 1 });
    const preferred = [{ openRequests: 1 }, { openRequests: 3 }, { openRequests: 9, preference: 10 }];
    expect(flipsOf("least-request", preferred)[0]).toMatchObject({ by: 2, chooses: 2 });
  });

  it("flips, and less of it does not, by every rule", () => {
    const chance = new SeededChance(3n);
    let found = 0;
    for (let round = 0; round < 80; round++) {
      const rows = Array.from({ length: 4 }, () => ({
        prior: { ...prior, passMs: 5 },
        deviceTokens: Math.floor(chance.next() * 900),
        prefillTokens: Math.floor(chance.next() * 500),
        rawPrefillTokens: 500,
        openRequests: Math.floor(chance.next() * 8),
        maxRunningRequests: 4,
        potentialBlocks: Math.floor(chance.next() * 100),
        totalBlocks: 100,
        preference: Math.floor(chance.next() * 2),
      }));
      for (const name of ["ttft", "dynamo", "dynamo-2025", "smg-least-load", "least-request"] as const) {
        const rule = RULES[name].create(DEFAULTS);
        const [ask, candidates] = [ruleAsk({ promptTokens: 1_000 }), candidatesOf(rows)];
        const costs = new Float64Array(4);
        const cheapest = (): number => {
          weighedCosts(rule, ask, candidates, costs);
          return costs.indexOf(Math.min(...costs));
        };
        const chosen = cheapest();
        for (const { what, candidate, by, chooses, cost } of flipsOf(name, rows)) {
          found++;
          const column = {
            "cached tokens": "deviceTokens",
            "tokens to compute": "prefillTokens",
            "open requests": "openRequests",
          } as const;
          const change = (amount: number) => {
            candidates[column[what]][candidate]! += amount;
            if (what === "tokens to compute") candidates.rawPrefillTokens[candidate]! += amount;
          };
          const before = costs[candidate]!;
          change(by - Math.sign(by));
          weighedCosts(rule, ask, candidates, costs);
          expect(costs[chosen]).toBe(Math.min(...costs));
          change(Math.sign(by));
          expect(cheapest()).toBe(chooses);
          expect(costs[candidate]! - before).toBeCloseTo(cost, 6);
          change(-by);
          cheapest();
        }
      }
    }
    expect(found).toBeGreaterThan(300);
  });
});

describe("an explanation", () => {
  const FAST_AND_SLOW = [
    fleetWorker(1n),
    fleetWorker(2n, { times: { prefillTokenMs: 2 } }),
    fleetWorker(3n, { taints: new Set(["a"]) }),
  ];

  it("tells candidates, terms, choice, runner-up and flips as they were at the choice", () => {
    const rig = new RoutingRig(FAST_AND_SLOW);
    const prompt = promptOf(1, 8, 2);
    rig.store(2n, prompt);
    const { ticket } = rig.place(
      routeAskOf(prompt, { requestId: "one", preferredTaints: [{ taint: "a", weight: -0.5 }] }),
    );
    // What happens since changes nothing of it.
    rig.store(1n, prompt);
    rig.pass(1n, { durationUs: 900_000, prefillTokens: 10, prefillContextTokens: 10 });
    rig.place(routeAskOf(promptOf(2, 20), { target: { worker: 2n, rank: undefined } }));
    rig.clock.advance(1_500);
    const [explanation, ...more] = rig.router.explain("one");
    expect(more).toEqual([]);
    expect(explanation).toMatchObject({
      ...{ requestId: "one", choices: [0], agoMs: 1_500, rule: "ttft", unit: "ms", why: "", missing: [], of: 3 },
      ...{ promptTokens: 130, blockTokens: 16, chosen: 0, runnerUp: 1 },
      decision: { rule: "by cost", name: "ttft", cost: 8, cachedTokens: 128, of: 3 },
      predicted: { firstTokenMs: 4, cachedTokens: 128 },
      seen: { firstTokenMs: undefined, cachedTokens: undefined },
    });
    const candidates = explanation!.candidates.map(({ worker, cost, deviceTokens, firstTokenMs, terms }) => {
      const total = terms.filter(({ counts }) => counts).reduce((sum, { value }) => sum + value, 0);
      return [worker, Number(cost.toFixed(3)), deviceTokens, firstTokenMs, total];
    });
    expect(candidates).toEqual([
      [2n, 8, 128, 4, 8],
      [1n, 260, 0, 130, 260],
      [3n, 412.732, 0, 130, 260],
    ]);
    expect(explanation!.candidates[2]).toMatchObject({
      rank: 0,
      prefixesKnown: true,
      timesKnown: true,
      potentialBlocks: 9,
    });
    expect(explanation!.candidates[2]!.preferenceFactor).toBeCloseTo(1.5874, 4);
    expect(explanation!.flips.map(({ what, candidate, by, chooses }) => [what, candidate, by, chooses])).toEqual([
      ["cached tokens", 0, -64, 1],
      ["cached tokens", 1, 127, 1],
      ["tokens to compute", 0, 127, 1],
    ]);
    ticket.cancel();
  });

  it("tells beside it what came: the first of its choices, once", () => {
    const rig = new RoutingRig(FAST_AND_SLOW);
    const ask = routeAskOf(promptOf(1, 4), { choices: [0, 1], choicesPerPrompt: 2 });
    const { ticket } = rig.place(ask);
    rig.clock.advance(70);
    ticket.note({ kind: "accepted", choice: 1, cachedTokens: 16 });
    ticket.note({ kind: "accepted", choice: 0, cachedTokens: 64 });
    rig.clock.advance(30);
    ticket.note({ kind: "first token", choice: 0 });
    rig.clock.advance(30);
    ticket.note({ kind: "first token", choice: 1 });
    expect(rig.router.explain("r")[0]).toMatchObject({
      predicted: { firstTokenMs: 65, cachedTokens: 0 },
      seen: { firstTokenMs: 100, cachedTokens: 16 },
    });
  });

  it("has one for each prompt and attempt of a request, the latest first", () => {
    const rig = new RoutingRig(FAST_AND_SLOW);
    const prompts = [promptOf(1, 2), promptOf(2, 3)];
    rig.place(routeAskOf(prompts[0]!, { prompts, choices: [0, 1] }));
    rig.clock.advance(10);
    rig.place(routeAskOf(prompts[0]!, { prompts, choices: [1], avoid: new Set([1n]) }));
    const found = rig.router
      .explain("r")
      .map(({ choices, agoMs, promptTokens, of }) => ({ choices, agoMs, promptTokens, of }));
    expect(found).toEqual([
      { choices: [1], agoMs: 0, promptTokens: 49, of: 2 },
      { choices: [1], agoMs: 10, promptTokens: 49, of: 3 },
      { choices: [0], agoMs: 10, promptTokens: 33, of: 3 },
    ]);
  });

  it("of a prompt that nobody asked to place changes nothing", () => {
    const rig = new RoutingRig(FAST_AND_SLOW, { rule: "round-robin", affinity: "hard" });
    const ask = routeAskOf(promptOf(1, 4), { requestId: "what if", session: "s" });
    for (let times = 0; times < 2; times++) {
      const [explanation] = rig.router.explainAsk(ask);
      expect(explanation).toMatchObject({ agoMs: 0, decision: { rule: "round-robin", at: 1, of: 3 }, chosen: 0 });
    }
    expect(rig.router.openChoices).toBe(0);
    expect(() => rig.router.explain("what if")).toThrow("No decision about what if is kept; none was made yet.");
    rig.unable.add(1n).add(2n).add(3n);
    expect(() => rig.router.explainAsk(ask)).toThrow(expect.objectContaining({ reason: "NO_WORKERS" }));
  });

  it("that is kept no longer says how far back they go", () => {
    const rig = new RoutingRig(FAST_AND_SLOW, { limits: { decisions: 2 } });
    for (const requestId of ["a", "b", "c"]) {
      rig.place(routeAskOf(promptOf(1, 1), { requestId }));
      rig.clock.advance(2_000);
    }
    expect(() => rig.router.explain("a")).toThrow(
      expect.objectContaining({
        reason: "DECISION_NOT_KEPT",
        message: "No decision about a is kept; the oldest of 2 that are kept was made 4 s ago.",
      }),
    );
    expect(rig.router.explain("b")).toHaveLength(1);
  });

  it("has no flips where costs did not decide, or not all of them are kept", () => {
    const prompt = promptOf(1, 4);
    const flips = (rig: RoutingRig, more = {}) => rig.router.explainAsk(routeAskOf(prompt, more))[0]!.flips.length;
    expect(flips(new RoutingRig(FAST_AND_SLOW))).toBeGreaterThan(0);
    expect(flips(new RoutingRig(FAST_AND_SLOW, { rule: "random" }))).toBe(0);
    expect(flips(new RoutingRig(FAST_AND_SLOW, { rule: "dynamo" }))).toBeGreaterThan(0);
    const warm = new RoutingRig(FAST_AND_SLOW, { rule: "dynamo", constants: { ...DEFAULTS, temperature: 1 } });
    expect(flips(warm)).toBe(0);
    expect(flips(new RoutingRig([fleetWorker(1n)]))).toBe(0);
    expect(flips(new RoutingRig(FAST_AND_SLOW), { target: { worker: 1n, rank: undefined } })).toBe(0);
    const held = new RoutingRig(FAST_AND_SLOW);
    held.place(routeAskOf(prompt, { session: "s" }));
    expect(flips(held, { session: "s" })).toBe(0);
    const cut = new RoutingRig(FAST_AND_SLOW, { limits: { candidatesOfOne: 2 } });
    cut.place(routeAskOf(prompt));
    expect(cut.router.explain("r")[0]).toMatchObject({ of: 3, flips: [], candidates: [{ cost: 130 }, { cost: 130 }] });
  });
});
