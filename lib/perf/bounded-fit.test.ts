import { expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { BoundedFit } from "./bounded-fit.ts";

const OPTIONS = { means: [1, 2, 0], spreads: [0.5, 0.5, 1], commonSpread: 0.5, kinds: 2 };

function solved(fit: BoundedFit): number[] {
  fit.solve();
  return [...fit.coefficients];
}

test("before anything is seen the means hold, before and after solving", () => {
  const fit = new BoundedFit(OPTIONS);
  expect([...fit.coefficients]).toEqual([1, 2, 0]);
  for (const [at, coefficient] of solved(fit).entries()) expect(coefficient).toBeCloseTo(OPTIONS.means[at]!, 12);
});

test("coefficients are recovered from noisy sums", () => {
  const chance = new SeededChance(5n);
  const fit = new BoundedFit(OPTIONS);
  const truth = [1.6, 1.2, 0.8];
  for (let seen = 0; seen < 400; seen++) {
    const features = Float64Array.from(truth, () => chance.next());
    const value = features.reduce((sum, feature, at) => sum + feature * truth[at]!, 0);
    fit.add(seen % 2, features, value * (0.95 + 0.1 * chance.next()));
  }
  for (const [at, coefficient] of solved(fit).entries()) expect(coefficient).toBeCloseTo(truth[at]!, 1);
});

test("what is seen of one moves the others by the common factor, and what says nothing moves nothing", () => {
  const fit = new BoundedFit(OPTIONS);
  for (let seen = 0; seen < 20; seen++) fit.add(0, Float64Array.of(1, 0, 0), 1.5);
  const [one, other, none] = solved(fit);
  expect(one).toBeCloseTo(1.5, 1);
  expect(other, "half as much more than one, less what the parts may differ in").toBeGreaterThan(2.3);
  expect(other).toBeLessThan(3);
  expect(none).toBeCloseTo(0, 12);
});

test("no coefficient is below 0, and those that are free take what is left", () => {
  const fit = new BoundedFit({ ...OPTIONS, means: [1, 1, 1] });
  for (let seen = 0; seen < 200; seen++) {
    fit.add(0, Float64Array.of(1, 0, 0), 2);
    fit.add(0, Float64Array.of(1, 1, 0), 1.9);
    fit.add(0, Float64Array.of(1, 1, 1), 1.9);
  }
  const [one, other, third] = solved(fit);
  expect([other, third]).toEqual([0, 0]);
  expect(one).toBeCloseTo(1.93, 1);
});

test("each kind forgets by its own, and the other much later", () => {
  const seeOld = (fit: BoundedFit) => {
    for (let seen = 0; seen < 200; seen++) fit.add(0, Float64Array.of(1, 0, 0), 2);
  };
  const same = new BoundedFit(OPTIONS);
  seeOld(same);
  for (let seen = 0; seen < 300; seen++) same.add(0, Float64Array.of(1, 0, 0), 1);
  expect(solved(same)[0]).toBeCloseTo(1, 1);
  const other = new BoundedFit(OPTIONS);
  seeOld(other);
  for (let seen = 0; seen < 300; seen++) other.add(1, Float64Array.of(0, 1, 0), 2);
  expect(solved(other)[0], "nothing new was seen of it").toBeGreaterThan(1.9);
  for (let seen = 0; seen < 60_000; seen++) {
    other.add(1, Float64Array.of(0, 1, 0), 2);
    if (seen % 100 === 0) other.solve();
  }
  expect(solved(other)[0], "it was long ago").toBeLessThan(1.1);
});

test("what cannot be scaled is left out", () => {
  const fit = new BoundedFit(OPTIONS);
  fit.add(0, Float64Array.of(0, 0, 0), 7);
  fit.add(0, Float64Array.of(Number.NaN, 0, 0), 7);
  expect(solved(fit)[0]).toBeCloseTo(1, 12);
});
