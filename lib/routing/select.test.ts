import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
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

  it("draws evenly", () => {
    for (const count of run("random", workers(9, 0, 0), 3_000).values()) expect(count).toBeGreaterThan(900);
  });

  it("takes the less loaded of two different ones", () => {
    const seen = run("power-of-two", workers(0, 5, 9), 3_000);
    expect(seen.get(3n)).toBeUndefined();
    expect(seen.get(1n)).toBeGreaterThan(1_800);
    expect(seen.get(2n)).toBeGreaterThan(800);
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
  });
});
