import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { printDecision } from "./decision.ts";
import { type Candidate, ROUTER_MODES, type RouterMode, select } from "./select.ts";

const workers = (...open: number[]): Candidate[] =>
  open.map((openRequests, at) => ({ worker: BigInt(at + 1), openRequests }));

function run(mode: RouterMode, candidates: Candidate[], times: number): Map<bigint, number> {
  const chance = new SeededChance(1n);
  const seen = new Map<bigint, number>();
  for (let turn = 0; turn < times; turn++) {
    const chosen = select(candidates, { mode, turn, chance, pinned: undefined });
    if (chosen) seen.set(chosen.worker, (seen.get(chosen.worker) ?? 0) + 1);
  }
  return seen;
}

describe("select", () => {
  const options = { turn: 4, chance: new SeededChance(3n), pinned: undefined };

  it("takes turns", () => {
    expect([...run("round-robin", workers(9, 0, 0), 6).values()]).toEqual([2, 2, 2]);
    const chosen = select(workers(0, 0, 0), { ...options, mode: "round-robin" });
    expect(chosen).toEqual({ worker: 2n, decision: { rule: "round-robin", at: 2, of: 3 } });
  });

  it("names the place of the one that it drew", () => {
    const names = new Set<string | undefined>();
    for (let turn = 0; turn < 100; turn++) {
      const chosen = select(workers(0, 0, 0), { ...options, mode: "random" });
      names.add(chosen && `${chosen.worker}: ${printDecision(chosen.decision)}`);
    }
    expect([...names].sort()).toEqual(["1: random, 1 of 3", "2: random, 2 of 3", "3: random, 3 of 3"]);
  });

  it("draws evenly", () => {
    for (const count of run("random", workers(9, 0, 0), 3_000).values()) expect(count).toBeGreaterThan(900);
  });

  it("takes the less loaded of two different ones", () => {
    const seen = run("power-of-two", workers(0, 5, 9), 3_000);
    expect(seen.get(3n)).toBeUndefined();
    expect(seen.get(1n)).toBeGreaterThan(1_800);
    expect(seen.get(2n)).toBeGreaterThan(800);
  });

  it("gives equal ones of two to the first that was drawn, so that all get the same share", () => {
    for (const count of run("power-of-two", workers(2, 2, 2), 3_000).values()) expect(count).toBeGreaterThan(900);
    // Draws the first, then the one behind it.
    const chance = { next: () => 0, id: () => 1n };
    const first = select(workers(2, 2, 2), { ...options, mode: "power-of-two", chance });
    expect(first).toEqual({ worker: 1n, decision: { rule: "power-of-two", open: 2, of: 3 } });
    const second = select(workers(2, 1, 0), { ...options, mode: "power-of-two", chance });
    expect(second).toEqual({ worker: 2n, decision: { rule: "power-of-two", open: 1, of: 3 } });
  });

  it("takes the less loaded where there are two", () => {
    for (let turn = 0; turn < 20; turn++) {
      expect(select(workers(5, 0), { ...options, mode: "power-of-two" })?.worker).toBe(2n);
      expect(select(workers(0, 5), { ...options, mode: "power-of-two" })?.worker).toBe(1n);
    }
  });

  it("draws the second of two among all others", () => {
    const seen = new Set<bigint | undefined>();
    for (let turn = 0; turn < 200; turn++) {
      // The first is never the better one.
      const draws = [0, turn / 200];
      const chance = { next: () => draws.shift() ?? 0, id: () => 1n };
      seen.add(select(workers(9, 0, 0, 0), { ...options, mode: "power-of-two", chance })?.worker);
    }
    expect([...seen].sort()).toEqual([2n, 3n, 4n]);
  });

  it("takes the only one there is, in every mode but direct", () => {
    for (const mode of ROUTER_MODES.filter((each) => each !== "direct")) {
      expect(select(workers(5), { ...options, mode })?.worker).toBe(1n);
    }
  });

  it("says how many are open at the least loaded, and gives equal ones to the next in turn", () => {
    const at = (turn: number) => select(workers(1, 3, 1, 1), { ...options, mode: "least-loaded", turn });
    expect(at(0)).toEqual({ worker: 1n, decision: { rule: "least-request", open: 1, of: 4 } });
    expect([1, 2, 3, 4, 5].map((turn) => at(turn)?.worker)).toEqual([3n, 3n, 4n, 1n, 3n]);
  });

  it("takes the least loaded, and ties in turn", () => {
    expect(run("least-loaded", workers(3, 1, 2), 10)).toEqual(new Map([[2n, 10]]));
    expect([...run("least-loaded", workers(1, 1, 2), 9).keys()].toSorted()).toEqual([1n, 2n]);
  });

  it("obeys a pin in every mode, and says no when the worker is not there", () => {
    for (const mode of ROUTER_MODES) {
      const pinned = { ...options, mode };
      expect(select(workers(9, 0), { ...pinned, pinned: 1n })).toEqual({ worker: 1n, decision: { rule: "pinned" } });
      expect(select(workers(9, 0), { ...pinned, pinned: 5n })).toBeUndefined();
    }
  });

  it("has nothing to say without candidates, or in direct mode without a pin", () => {
    for (const mode of ROUTER_MODES) expect(select([], { ...options, mode })).toBeUndefined();
    expect(select(workers(0), { ...options, mode: "direct" })).toBeUndefined();
    expect(select(workers(0, 0), { ...options, mode: "direct" })).toBeUndefined();
  });
});
