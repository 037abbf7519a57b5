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

interface Seen {
  readonly kind: number;
  readonly features: Float64Array;
  readonly value: number;
}

/** Gauss's elimination, with the largest pivot first. */
function solveDense(matrix: number[][], side: number[]): number[] {
  const rows = matrix.map((row, at) => [...row, side[at]!]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    let pivot = column;
    for (let row = column; row < size; row++) {
      if (Math.abs(rows[row]![column]!) > Math.abs(rows[pivot]![column]!)) pivot = row;
    }
    [rows[column], rows[pivot]] = [rows[pivot]!, rows[column]!];
    for (let row = 0; row < size; row++) {
      if (row === column) continue;
      const share = rows[row]![column]! / rows[column]![column]!;
      for (let at = 0; at <= size; at++) rows[row]![at]! -= share * rows[column]![at]!;
    }
  }
  return rows.map((row, at) => row[size]! / row[at]!);
}

/** The posterior from all that was seen, weighed anew: no recursion, no bounds. */
function fromScratch({ means, spreads, commonSpread }: typeof OPTIONS, seen: readonly Seen[]): number[] {
  const size = means.length;
  const unit = (at: number) => means.map((_, each) => (each === at ? 1 : 0));
  const covariance = means.map((mean, row) =>
    means.map((other, column) => (row === column ? spreads[row]! ** 2 : 0) + commonSpread ** 2 * mean * other),
  );
  const information = means.map((_, at) => solveDense(covariance, unit(at)));
  const side = information.map((row) => row.reduce((sum, each, at) => sum + each * means[at]!, 0));
  for (const [at, { kind, features, value }] of seen.entries()) {
    const later = seen.slice(at + 1).filter((each) => each.kind === kind).length;
    const scale = features.reduce((sum, each, place) => sum + each * (means[place]! + 0.2 * spreads[place]!), 0);
    const weight = ((63 / 64) ** later * (4_095 / 4_096) ** seen.length) / (0.1 * scale) ** 2;
    for (let row = 0; row < size; row++) {
      side[row]! += weight * features[row]! * value;
      for (let column = 0; column < size; column++) {
        information[row]![column]! += weight * features[row]! * features[column]!;
      }
    }
  }
  return solveDense(information, side);
}

test("it is the posterior of all that was seen", () => {
  for (let seed = 0; seed < 20; seed++) {
    const chance = new SeededChance(BigInt(seed));
    const fit = new BoundedFit(OPTIONS);
    const seen: Seen[] = [];
    for (let each = 0; each < 1 + 10 * seed; each++) {
      const features = Float64Array.from(OPTIONS.means, () => chance.next());
      const value = 3 * features[0]! + 2 * features[1]! + features[2]! + chance.next();
      seen.push({ kind: each % 2, features, value });
      fit.add(each % 2, features, value);
    }
    const expected = fromScratch(OPTIONS, seen);
    expect(expected.every((coefficient) => coefficient > 0)).toBe(true);
    for (const [at, coefficient] of solved(fit).entries()) expect(coefficient).toBeCloseTo(expected[at]!, 8);
  }
});

test("where a bound holds, the rest is the posterior of what is left", () => {
  const options = { ...OPTIONS, means: [1, 2, 1] };
  const fit = new BoundedFit(options);
  const seen: Seen[] = [];
  const chance = new SeededChance(2n);
  for (let each = 0; each < 300; each++) {
    const features = Float64Array.from(options.means, () => chance.next());
    const value = Math.max(0, 2 * features[0]! - 0.5 * features[1]! + features[2]!);
    seen.push({ kind: 0, features, value });
    fit.add(0, features, value);
  }
  const [one, held, other] = solved(fit);
  expect(held).toBe(0);
  // Conditioned on 0, the posterior has its mode where the others make the squares least.
  const squares = (left: number, right: number) => {
    const [moved, fixed, third] = [left - 1, -2, right - 1];
    const along = [1 / 0.5, 2 / 0.5, 1];
    const apart = [moved / 0.5, fixed / 0.5, third];
    const common = along.reduce((sum, each, at) => sum + each * apart[at]!, 0) ** 2;
    const share = 0.25 / (1 + 0.25 * along.reduce((sum, each) => sum + each ** 2, 0));
    let sum = apart.reduce((total, each) => total + each ** 2, 0) - share * common;
    for (const [at, { features, value }] of seen.entries()) {
      const scale = 1.1 * features[0]! + 2.1 * features[1]! + 1.2 * features[2]!;
      const weight = ((63 / 64) ** (299 - at) * (4_095 / 4_096) ** 300) / (0.1 * scale) ** 2;
      sum += weight * (value - left * features[0]! - right * features[2]!) ** 2;
    }
    return sum;
  };
  const least = squares(one!, other!);
  for (const [left, right] of [
    [1e-4, 0],
    [-1e-4, 0],
    [0, 1e-4],
    [0, -1e-4],
  ] as const) {
    expect(squares(one! + left, other! + right)).toBeGreaterThan(least);
  }
});
