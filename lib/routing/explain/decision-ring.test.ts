import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { candidatesOf, ruleAsk } from "../../../test/support/candidates.ts";
import { ROUTING_LIMITS } from "../limits.ts";
import { COLUMNS } from "../rules/candidates.ts";
import { DecisionRing, type KeptDecision } from "./decision-ring.ts";

function keptOf(requestId: string, of: number, chosen = 0, atMs = 0): KeptDecision {
  return {
    ...{
      requestId,
      choices: [0],
      leg: "whole",
      bypass: undefined,
      atMs,
      rule: "ttft",
      why: "",
      ask: ruleAsk(),
      decision: { rule: "pinned" },
      missing: [],
    },
    ...{ of, chosen, predictedMs: 1, predictedTokens: 0, seenMs: undefined, seenTokens: undefined },
  };
}

/** Candidates whose numbers tell which decision and which of its candidates they are. */
function tableOf(decision: number, count: number) {
  const candidates = candidatesOf(Array.from({ length: count }, () => ({})));
  for (const [place, name] of COLUMNS.entries()) {
    for (let at = 0; at < count; at++) candidates[name][at] = decision * 1_000 + at + place / 100;
  }
  return { candidates, costs: Float64Array.from({ length: count }, (_, at) => decision + at) };
}

function add(ring: DecisionRing, decision: number, count: number): KeptDecision {
  const kept = keptOf(`r${decision}`, count, count - 1, decision);
  const { candidates, costs } = tableOf(decision, count);
  ring.add(kept, candidates, costs);
  return kept;
}

function expectWhole(ring: DecisionRing, kept: KeptDecision): void {
  const table = ring.table(kept)!;
  const expected = tableOf(kept.atMs, kept.of);
  expect(table.chosen).toBe(kept.of - 1);
  expect(table.costs).toEqual(expected.costs);
  expect(table.candidates.count).toBe(kept.of);
  for (const name of COLUMNS) expect([...table.candidates[name]]).toEqual([...expected.candidates[name]]);
  expect([...table.candidates.workers]).toEqual([...expected.candidates.workers]);
  expect(table.candidates.times).toHaveLength(kept.of);
}

describe("the ring of decisions", () => {
  it("keeps tables as they were, whatever becomes of the one that they came from", () => {
    const ring = new DecisionRing(ROUTING_LIMITS);
    const { candidates, costs } = tableOf(3, 4);
    const kept = keptOf("r3", 4, 3, 3);
    ring.add(kept, candidates, costs);
    for (const name of COLUMNS) candidates[name].fill(-1);
    const [time] = candidates.times;
    candidates.times.length = 0;
    candidates.workers.fill(0n);
    costs.fill(-1);
    expectWhole(ring, kept);
    expect(ring.table(kept)?.candidates.times[0]).toBe(time);
    expect(ring.find("r3")).toEqual([kept]);
    expect(ring.find("r4")).toEqual([]);
  });

  it("keeps so many decisions, the latest", () => {
    const ring = new DecisionRing({ ...ROUTING_LIMITS, decisions: 3 });
    expect([ring.size, ring.oldestMs]).toEqual([0, undefined]);
    const kept = [1, 2, 3, 4, 5].map((decision) => add(ring, decision, 2));
    expect([ring.size, ring.oldestMs]).toEqual([3, 3]);
    expect(ring.find("r2")).toEqual([]);
    expect(ring.table(kept[1]!)).toBeUndefined();
    for (const each of kept.slice(2)) expectWhole(ring, each);
  });

  it("keeps so many candidates, those of the latest decisions", () => {
    const ring = new DecisionRing({ ...ROUTING_LIMITS, candidates: 10 });
    const kept = [1, 2, 3].map((decision) => add(ring, decision, 4));
    expect(ring.size).toBe(2);
    expect(ring.table(kept[0]!)).toBeUndefined();
    for (const each of kept.slice(1)) expectWhole(ring, each);
    add(ring, 4, 10);
    expect([ring.size, ring.oldestMs]).toEqual([1, 4]);
  });

  it("of very many candidates keeps the chosen one and the cheapest", () => {
    const ring = new DecisionRing({ ...ROUTING_LIMITS, candidatesOfOne: 3 });
    const { candidates, costs } = tableOf(7, 6);
    costs.set([5, 1, 9, 1, 3, 2]);
    const kept = keptOf("r7", 6, 2, 7);
    ring.add(kept, candidates, costs);
    const table = ring.table(kept)!;
    expect([...table.costs]).toEqual([1, 9, 1]);
    expect(table.chosen).toBe(1);
    expect([...table.candidates.workers]).toEqual([2n, 3n, 4n]);
    expect(table.candidates.rank[2]).toBe(7_003);
    const exact = new DecisionRing({ ...ROUTING_LIMITS, candidatesOfOne: 6 });
    const whole = keptOf("r7", 6, 2, 7);
    exact.add(whole, candidates, costs);
    expect(exact.table(whole)?.costs).toEqual(costs);
  });

  it("is right at any size, against one that keeps everything", () => {
    const chance = new SeededChance(11n);
    for (let round = 0; round < 12; round++) {
      const draw = (most: number) => 1 + Math.floor(chance.next() * most);
      const limits = { ...ROUTING_LIMITS, decisions: draw(40), candidates: 10 + draw(200) };
      const ring = new DecisionRing(limits);
      const all: KeptDecision[] = [];
      for (let decision = 1; decision <= 300; decision++) {
        all.push(add(ring, decision, draw(10)));
        const alive = all.filter((kept) => ring.find(kept.requestId).length > 0);
        expect(alive).toHaveLength(ring.size);
        expect(alive).toEqual(all.slice(-ring.size));
        const rows = alive.reduce((sum, { of }) => sum + of, 0);
        expect(rows).toBeLessThanOrEqual(limits.candidates);
        // What is lost where rows begin anew is no more than one decision's.
        if (ring.size < limits.decisions && decision > 40) expect(rows).toBeGreaterThan(limits.candidates - 40);
        if (decision % 25 === 0) for (const kept of alive) expectWhole(ring, kept);
      }
    }
  });
});
