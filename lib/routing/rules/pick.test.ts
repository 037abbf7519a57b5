import { describe, expect, it } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { pickInTurn, pickLeast, pickSoftmax, softmax } from "./pick.ts";

const GOLDEN = Float64Array.of(18, 10, 11);
const drawing = (...draws: number[]) => ({ next: () => draws.shift()!, id: () => 1n });

describe("a draw by costs", () => {
  it.each([
    [0.25, [0.011272, 0.615443, 0.373285]],
    [0.5, [0.070703, 0.522429, 0.406868]],
    [1, [0.163475, 0.44437, 0.392155]],
    [2, [0.238234, 0.392782, 0.368984]],
  ])("at temperature %d has the reference's chances", (temperature, expected) => {
    const chances = softmax(GOLDEN, 3, temperature);
    for (const [at, chance] of expected.entries()) expect(chances[at]).toBeCloseTo(chance, 6);
  });

  it("takes the first whose running sum reaches the draw", () => {
    const at = (draw: number) => pickSoftmax(GOLDEN, 3, 1, drawing(draw));
    expect([0, 0.163, 0.164, 0.6078, 0.6079, 0.999999].map(at)).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("gives equal costs equal chances, and what is left out none", () => {
    expect([...softmax(Float64Array.of(7, 7, 7), 3, 1)]).toEqual([1 / 3, 1 / 3, 1 / 3]);
    const some = Float64Array.of(Number.POSITIVE_INFINITY, 7, 7, 0);
    expect([...softmax(some, 3, 1)]).toEqual([0, 0.5, 0.5]);
    expect(pickSoftmax(some, 3, 1, drawing(0))).toBe(1);
    expect(pickSoftmax(some, 3, 1, drawing(1))).toBe(2);
    const last = Float64Array.of(1, 5, Number.POSITIVE_INFINITY);
    expect(pickSoftmax(last, 3, 1, drawing(1 + 1e-9))).toBe(1);
  });

  it("at temperature 0 takes the least and draws for ties alone", () => {
    for (let draw = 0; draw < 3; draw++) expect(pickSoftmax(GOLDEN, 3, 0, drawing())).toBe(1);
    const ties = Float64Array.of(3, 1, 2, 1, 1, 0);
    const at = (draw: number) => pickSoftmax(ties, 5, 0, drawing(draw));
    expect([0, 0.33, 0.34, 0.66, 0.67, 0.99].map(at)).toEqual([1, 1, 3, 3, 4, 4]);
  });

  it("draws ties evenly", () => {
    const chance = new SeededChance(5n);
    const counts = [0, 0, 0];
    for (let turn = 0; turn < 3_000; turn++) counts[pickLeast(Float64Array.of(4, 4, 4), 3, chance)]!++;
    for (const count of counts) expect(count).toBeGreaterThan(900);
  });
});

it("gives ties to the next in turn", () => {
  const costs = Float64Array.of(2, 4, 2, 2, 0);
  expect([0, 1, 2, 3, 4, 5, 7].map((turn) => pickInTurn(costs, 4, turn))).toEqual([0, 2, 2, 3, 0, 2, 3]);
});
