import { describe, expect, it } from "vitest";
import { type CandidateRow, candidatesOf, ruleAsk } from "../../../test/support/candidates.ts";
import { readRuleConstants, routingDefaults } from "../options.ts";
import type { RuleConstants } from "./constants.ts";
import type { RuleAsk } from "./rule.ts";
import { betaOf, firstTokenMs, LEAST_BETA, MOST_BETA, ttft } from "./ttft.ts";

const DEFAULTS = readRuleConstants(routingDefaults());

/** Passes of 100 tokens: 10 ms, 1 ms for a token, 2 ms for each sequence that decodes. */
const prior = { passMs: 10, prefillTokenMs: 1, decodeSequenceMs: 2, passTokens: 100 };

/** The terms of one candidate for a prompt of 250 tokens, and its cost, without what every prompt delays at least. */
function priced(
  row: CandidateRow,
  more: { readonly ask?: Partial<RuleAsk>; readonly constants?: Partial<RuleConstants> } = {},
): Record<string, number> {
  const rule = ttft.create({ ...DEFAULTS, ...more.constants });
  const [ask, of] = [ruleAsk({ promptTokens: 250, answerTokens: 40, ...more.ask }), candidatesOf([{ prior, ...row }])];
  const costs = new Float64Array(1);
  rule.score(ask, of, costs);
  const terms = rule.terms(ask, of, 0);
  const counted = terms.filter(({ counts }) => counts).reduce((sum, { value }) => sum + value, 0);
  expect(counted).toBeCloseTo(costs[0]!, 9);
  const leastMs = LEAST_BETA * terms.find(({ name }) => name === "prefill")!.value;
  const beyond = terms.map((term) =>
    term.name === "delay of others" ? { ...term, value: term.value - leastMs } : term,
  );
  const shown = beyond.filter(({ value }) => value !== 0).map(({ name, value }) => [name, Number(value.toFixed(6))]);
  return { ...Object.fromEntries(shown), cost: Number((costs[0]! - leastMs).toFixed(6)) };
}

describe("what a place costs in milliseconds", () => {
  it("is its own prefill in whole passes, behind what it has", () => {
    expect(priced({})).toEqual({ prefill: 280, cost: 280 });
    expect(priced({ deviceTokens: 150 })).toEqual({ prefill: 110, cost: 110 });
    expect(priced({ deviceTokens: 249 })).toEqual({ prefill: 11, cost: 11 });
    expect(priced({}, { ask: { promptTokens: 0 } })).toEqual({ prefill: 11, cost: 11 });
  });

  it("is a pass longer where what is left of a prompt behind whole chunks takes one", () => {
    // 250 tokens are chunks of 64, 64 and 64, each alone in a pass of at most 100, and 58.
    const chunkTokens = 64;
    expect(priced({ chunkTokens })).toEqual({ prefill: 250 + 4 * 10, cost: 290 });
    expect(priced({ chunkTokens, deviceTokens: 192 })).toEqual({ prefill: 68, cost: 68 });
    // The passes decode too, and late is what goes beyond the target in each.
    const late = priced({ chunkTokens, decodeSequences: 2 }, { constants: { itlTargetMs: 50 } });
    expect(late["late tokens"]).toBe(250 + 4 * 14 - 4 * 50);
  });

  it("is longer with what decodes beside it, which shares the passes", () => {
    // 98 tokens fit beside two sequences: three passes of 10 + 4 ms.
    const own = { prefill: 250 + 3 * 14, "late tokens": 250 };
    expect(priced({ decodeSequences: 2 })).toEqual({ ...own, cost: 292 });
  });

  it("waits for prompts before it, the last of which shares a pass", () => {
    // 320 tokens that wait fill three passes, and 20 more come along with the prompt's 250.
    expect(priced({ prefillTokens: 320, rawPrefillTokens: 320 })).toEqual({
      wait: 3 * 110 + 20,
      prefill: 280,
      cost: 630,
    });
  });

  it("does not wait again for what passes have computed", () => {
    expect(priced({ prefillTokens: 320, rawPrefillTokens: 320, startedTokens: 200 }).wait).toBe(110 + 20);
  });

  it("waits for what is left of the pass that runs, which it cannot join", () => {
    const queue = { prefillTokens: 320, rawPrefillTokens: 320, passingTokens: 320 };
    // A full pass runs, of which 110 ms are left at first; 220 tokens wait behind it.
    expect(priced({ ...queue, passingMs: 30 }).wait).toBe(80 + 220 + 20);
    expect(priced({ ...queue, passingMs: 60_000 }).wait, "it takes longer than foretold").toBe(220 + 20);
    expect(priced({ prefillTokens: 50, rawPrefillTokens: 50, passingTokens: 50, passingMs: 25 }).wait).toBe(60 - 25);
    expect(priced({ passingMs: 50 }), "nothing runs").toEqual({ prefill: 280, cost: 280 });
    expect(priced({ decodeSequences: 2, passingMs: 5 }).wait, "others decode").toBe(14 - 5);
  });

  it("counts by how much those come later whose last pass it shares", () => {
    const queue = { prefillTokens: 120, rawPrefillTokens: 120, sharingPrompts: 2 };
    // 20 tokens of them are in the pass that it begins in, which it fills: 80 ms more for both.
    expect(priced(queue)["delay of those beside"]).toBe(2 * 80);
    expect(priced(queue, { ask: { promptTokens: 30 } })["delay of those beside"]).toBe(2 * 30);
    expect(priced({ ...queue, passingTokens: 120, passingMs: 1 })["delay of those beside"]).toBe(2 * 80);
    expect(priced({ ...queue, sharingPrompts: 0 })).not.toHaveProperty("delay of those beside");
  });

  it("puts off those beside by its chunks alone", () => {
    const row = { prefillTokens: 20, rawPrefillTokens: 20, sharingPrompts: 2, chunkTokens: 64 };
    const beside = (promptTokens: number) => priced(row, { ask: { promptTokens } })["delay of those beside"];
    expect([beside(60), beside(64), beside(70)]).toEqual([2 * 60, 2 * 64, 2 * 64]);
  });

  it("prices what it delays by what all candidates do: later requests may go to any of them", () => {
    const rows = [{ prefillUtilisation: 0.9 }, { prefillUtilisation: 0.6 }].map((row) => ({ prior, ...row }));
    const of = candidatesOf(rows);
    const costs = new Float64Array(2);
    const rule = ttft.create(DEFAULTS);
    const ask = ruleAsk({ promptTokens: 250, answerTokens: 40 });
    rule.score(ask, of, costs);
    expect([...costs]).toEqual([4 * 280, 4 * 280]);
    expect(rule.terms(ask, of, 0).find(({ name }) => name === "delay of others")?.value).toBe(3 * 280);
  });

  it("attends to what waiting prompts have cached, too", () => {
    const context = { ...prior, prefillContextMs: 0.01 };
    const fresh = priced({ prefillTokens: 200, rawPrefillTokens: 200, prior: context });
    const cached = priced({ prefillTokens: 200, rawPrefillTokens: 1_200, prior: context });
    expect(cached.wait! - fresh.wait!).toBeCloseTo(2 * 500 * 0.01, 6);
  });

  it("waits for a free place where all are taken", () => {
    const row = { maxRunningRequests: 4, decodeSequences: 4 };
    expect(priced({ ...row, openRequests: 3 })["free place"]).toBeUndefined();
    // One of four has to end, which takes a quarter of an answer of 40 tokens in passes of 18 ms.
    expect(priced({ ...row, openRequests: 4 })["free place"]).toBe(10 * 18);
    expect(priced({ ...row, openRequests: 9 })["free place"]).toBe(6 * 10 * 18);
    expect(priced({ ...row, maxRunningRequests: 0, openRequests: 9 })["free place"]).toBeUndefined();
  });

  it("brings lower tiers at the share of their prefill that the weights leave", () => {
    // Of 100 tokens a pass of 110 ms is saved.
    const onboarding = (row: CandidateRow, constants = {}) => priced(row, { constants }).onboarding;
    expect(onboarding({ hostTokens: 100 })).toBe(27.5);
    expect(onboarding({ diskTokens: 100 })).toBe(82.5);
    expect(onboarding({ externalTokens: 100 })).toBe(55);
    expect(onboarding({ hostTokens: 50, diskTokens: 50 })).toBe(55);
    expect(onboarding({ hostTokens: 100 }, { hostWeight: 1 })).toBeUndefined();
    expect(priced({ deviceTokens: 100, hostTokens: 100 })).toEqual({
      prefill: 60,
      onboarding: 27.5,
      cost: 87.5,
    });
  });

  it("delays later requests by β of its own, once at least and twenty times at most", () => {
    expect([0, 0.25, 0.5, 0.75, 0.96, 1].map(betaOf)).toEqual([1, 1, 1, 3, 20, 20]);
    expect([LEAST_BETA, MOST_BETA]).toEqual([1, 20]);
    expect(priced({ prefillUtilisation: 0.75, prefillTokens: 100, rawPrefillTokens: 100 })).toEqual({
      wait: 110,
      prefill: 280,
      "delay of others": 2 * 280,
      cost: 950,
    });
  });

  it("counts late tokens of others only where there is a target, and beyond it", () => {
    const row = { decodeSequences: 2 };
    const late = (itlTargetMs: number) => priced(row, { constants: { itlTargetMs } });
    expect(late(50)).toEqual({
      prefill: 292,
      "late tokens": 292 - 3 * 50,
      cost: 292 + 142,
    });
    expect(late(100)).toEqual({ prefill: 292, cost: 292 });
    // More decode than fit into a pass: a token of the prompt goes with each.
    const crowded = priced({ decodeSequences: 150 }, { ask: { promptTokens: 2 }, constants: { itlTargetMs: 300 } });
    expect(crowded["late tokens"]).toBe(2 * (10 + 1 + 300) - 2 * 310);
    // A pass without the prompt takes 14 ms: that is not the prompt's doing.
    expect(late(1)["late tokens"]).toBe(292 - 3 * 14);
    expect(priced({}, { constants: { itlTargetMs: 1 } }).cost).toBe(280);
  });
});

it("foretells the first token without what it costs others", () => {
  const of = candidatesOf([
    { prior, prefillUtilisation: 0.9, hostTokens: 100, prefillTokens: 100, rawPrefillTokens: 100 },
  ]);
  expect(firstTokenMs(ruleAsk({ promptTokens: 250 }), of, 0, DEFAULTS)).toBeCloseTo(110 + 170 + 27.5, 9);
});
