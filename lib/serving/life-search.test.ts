import { describe, expect, it } from "vitest";
import { StatorError } from "#lib/base/errors";
import { draining, LifeRig, lost, nobody, reasons } from "../../test/support/life-rig.ts";
import type { LifeLimits } from "./life.ts";
import { routeAsk } from "./route-ask.ts";
import { stepLife } from "./step-life.ts";

const full = new StatorError("OVERLOADED", { what: "m" });

describe("a request that looks for a worker", () => {
  it("that was never placed waits for the first bound, and looks for the last time at its end", () => {
    const rig = new LifeRig({}, { firstWaitMs: 120 });
    expect(rig.wait()).toBe(50);
    rig.nowMs = 50;
    expect(rig.wait()).toBe(70);
    rig.nowMs = 119;
    expect(rig.wait()).toBe(1);
    rig.nowMs = 120;
    expect(rig.wait()).toBe("NO_WORKERS");
    expect(rig.life.done).toBe(true);
  });

  it("does not wait at all when the bound is 0", () => {
    expect(new LifeRig({}, { firstWaitMs: 0 }).wait()).toBe("NO_WORKERS");
  });

  it("that was placed before waits for the other bound from the moment at which it lost its worker, and says what it lost", () => {
    const rig = new LifeRig({}, { firstWaitMs: 10, waitMs: 100 });
    rig.run(1n);
    rig.nowMs = 1_000;
    expect(rig.lost()).toMatchObject([{ kind: "place", delayMs: 0 }]);
    expect(rig.wait()).toBe(50);
    rig.nowMs = 1_099;
    expect(rig.wait()).toBe(1);
    rig.nowMs = 1_100;
    const effects = rig.tell({ kind: "unplaced", error: nobody, final: false });
    expect(effects[0]).toMatchObject({ error: { reason: "ATTEMPTS_EXHAUSTED", facts: { attempts: 1 }, cause: lost } });
  });

  it("fails when its time is over at the moment of a refusal, and not a moment before", () => {
    for (const [atMs, expected] of [
      [99, ["place"]],
      [100, ["ATTEMPTS_EXHAUSTED", "done"]],
    ] as const) {
      // biome-ignore format: a case a line
      const rig = new LifeRig({}, { waitMs: 100 });
      rig.placed(1n);
      rig.refused(draining);
      rig.placed(2n);
      rig.nowMs = atMs;
      expect(reasons(rig.refused(draining))).toEqual(expected);
    }
  });

  it("has its whole time again when a worker took it", () => {
    const rig = new LifeRig({}, { waitMs: 100 });
    rig.run(1n);
    rig.lost();
    rig.nowMs = 90;
    rig.run(2n);
    rig.nowMs = 500;
    rig.lost();
    expect(rig.wait()).toBe(50);
    rig.nowMs = 599;
    expect(rig.wait()).toBe(1);
  });

  it("waits longer from look to look, up to the most, and begins anew when a worker took it", () => {
    const rig = new LifeRig({}, { waitMs: 1_000_000 });
    rig.run(1n);
    rig.lost();
    expect([1, 2, 3, 4, 5, 6, 7].map(() => rig.wait())).toEqual([50, 100, 200, 400, 800, 1_000, 1_000]);
    for (let looks = 0; looks < 100; looks++) expect(rig.wait()).toBe(1_000);
    // Placed and refused is not taken.
    rig.placed(2n);
    rig.refused(new StatorError("UNAVAILABLE", { what: "It", detail: "test" }));
    expect(rig.wait()).toBe(1_000);
    rig.run(3n);
    rig.lost();
    expect(rig.wait()).toBe(50);
  });

  it("waits from the first bound to the most, and at once when both are 0", () => {
    const waits = (limits: Partial<LifeLimits>) => {
      const rig = new LifeRig({}, limits);
      return [1, 2, 3, 4].map(() => rig.wait());
    };
    expect(waits({ backoff: { firstMs: 3, longestMs: 10 } })).toEqual([3, 6, 10, 10]);
    expect(waits({ backoff: { firstMs: 0, longestMs: 0 } })).toEqual([0, 0, 0, 0]);
  });

  it("says with its place how long it waited, unless it did not", () => {
    const decided = (rig: LifeRig) => {
      const told = rig.run(1n).find((effect) => effect.kind === "tell placed");
      return told?.kind === "tell placed" ? told.placement.waitedMs : "nothing";
    };
    expect(decided(new LifeRig())).toBeUndefined();
    const waited = new LifeRig({}, {}, 500);
    waited.wait();
    waited.nowMs = 550.4;
    expect(decided(waited)).toBeCloseTo(50.4);
    // It was refused and tried elsewhere at once.
    const moved = new LifeRig();
    moved.placed(9n);
    moved.nowMs = 30;
    moved.refused(draining);
    expect(decided(moved)).toBeUndefined();
  });

  it("hears at once what no wait can mend, and when it is pinned, that its worker is gone", () => {
    expect(new LifeRig().wait(new StatorError("MODEL_NOT_FOUND", { model: "m" }))).toBe("MODEL_NOT_FOUND");
    expect(new LifeRig({ worker: 1n }).wait(draining)).toBe("DRAINING");
    expect(new LifeRig().wait(draining)).toBe(50);
    expect(new LifeRig({ worker: 1n }).wait(new StatorError("UNAVAILABLE", { what: "It", detail: "test" }))).toBe(50);
  });

  it("hears at once that every worker is full, unless it has run somewhere: then it waits", () => {
    const fresh = new LifeRig();
    fresh.placed(1n);
    fresh.refused(full);
    expect(fresh.wait()).toBe("OVERLOADED");
    const begun = new LifeRig();
    begun.run(1n);
    begun.tokens(1);
    begun.lost();
    begun.placed(2n);
    begun.refused(full);
    expect(begun.wait()).toBe(50);
  });

  it("does not ask for a place while one is asked for", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    rig.run(1n);
    expect(reasons(rig.lost({ choice: 0 }))).toEqual(["place"]);
    expect(reasons(rig.lost({ choice: 1 }))).toEqual([]);
    expect(reasons(rig.placed(2n))).toEqual(["submit", "submit"]);
  });
});

describe("what a router is asked and told", () => {
  const placeOf = (choices: number[]) => {
    const place = { target: { worker: 5n, rank: undefined }, weights: "w", decision: { rule: "pinned" } } as const;
    return { kind: "placed", places: [{ choices, ...place }] } as const;
  };

  it("is a new request until it was asked for once, whether or not it found a place", () => {
    const rig = new LifeRig();
    expect(routeAsk(rig.life).isNew).toBe(true);
    rig.wait();
    expect(routeAsk(rig.life).isNew).toBe(false);
    const placed = new LifeRig();
    placed.run(1n);
    expect(routeAsk(placed.life).isNew).toBe(false);
  });

  it("is asked at once for what failed while it made up its mind about others", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    rig.run(1n);
    rig.lost({ choice: 0 });
    rig.lost({ choice: 1 });
    expect(rig.tell(placeOf([0]))).toMatchObject([
      { kind: "submit", choice: 0 },
      { kind: "place", delayMs: 0 },
    ]);
  });

  it("is no attempt when all that it placed has ended meanwhile", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    rig.run(1n);
    rig.lost({ choice: 0 });
    rig.tell({ kind: "finish choice", choice: 0, tokens: 0 });
    expect(rig.tell(placeOf([0]))).toEqual([]);
    expect(rig.life.attempt).toBe(1);
  });

  it("hears of the end of a choice when it ends, though others go on", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    rig.run(1n);
    const event = { kind: "finish choice", choice: 1, tokens: 0 } as const;
    const notes = stepLife(rig.life, event, rig.nowMs).filter(({ kind }) => kind === "note");
    expect(notes).toEqual([{ kind: "note", note: { kind: "ended", choice: 1, tokens: 0 } }]);
  });
});

describe("the workers that are not asked again", () => {
  it("are those that failed, until one takes it, or all others were asked", () => {
    const rig = new LifeRig();
    rig.placed(1n);
    expect(rig.avoided(rig.refused(draining))).toEqual([1n]);
    rig.placed(2n);
    expect(rig.avoided(rig.refused(draining))).toEqual([1n, 2n]);
    rig.wait();
    rig.placed(3n);
    expect(rig.avoided(rig.refused(draining))).toEqual([3n]);
    rig.run(4n);
    expect(rig.avoided(rig.lost())).toEqual([4n]);
  });

  it("are told in the record when they took it, once in a row", () => {
    const rig = new LifeRig({ choicesPerPrompt: 2 });
    rig.run(1n);
    rig.tokens(1, 0);
    rig.lost({ choice: 0 });
    rig.placed(5n);
    rig.refused(draining);
    rig.run(2n);
    rig.tokens(1, 0);
    rig.lost({ choice: 0 });
    rig.run(1n);
    expect(rig.life.workers).toEqual([1n, 2n, 1n]);
  });
});
