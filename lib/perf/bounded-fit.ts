import { assert } from "#lib/base/errors";

/** What a fit begins with. Arrays are as long as there are coefficients. */
export interface FitOptions {
  /** What the coefficients are taken to be before anything was seen; at least 0. */
  readonly means: readonly number[];
  /** How far each may be from that, as a standard deviation in its own unit; above 0. */
  readonly spreads: readonly number[];
  /** How far all may be from it together: the standard deviation of one factor on all means. */
  readonly commonSpread: number;
  /** Kinds of what is seen: each forgets by its own. */
  readonly kinds: number;
}

/** Standard deviation of what is seen around what is fitted, as a share of what the means say. */
const NOISE = 0.1;
/** After so many of its own kind, what was seen counts 1 ÷ e. */
const WINDOW = 64;
/** The same after so many of any kind: what is not seen any more is believed for longer, but not for ever. */
const FAR_WINDOW = 4_096;
/** Share of a spread that counts into the scale of the noise, where means alone may say 0. */
const SPREAD_SHARE = 0.2;

/**
 * Recursive least squares of a sum with coefficients that are at least 0, towards what was believed before: the mode of a
 * Gaussian posterior with forgetting. What was not seen lately keeps its prior, moved by the common factor that was
 * seen in the rest, so a direction without data neither drifts nor explodes. It keeps normal equations (information
 * form) in units of the spreads: adding takes coefficients², solving coefficients³ ÷ 6 multiplications.
 */
export class BoundedFit {
  /** As of the last `solve`; before it the means. */
  readonly coefficients: Float64Array;
  readonly #size: number;
  readonly #means: Float64Array;
  readonly #spreads: Float64Array;
  /** Information of the prior: the lower half of a symmetric matrix, row by row. */
  readonly #prior: Float64Array;
  /** Of what was seen, one matrix and one right side for each kind. */
  readonly #seen: readonly Float64Array[];
  readonly #sides: readonly Float64Array[];
  readonly #scaled: Float64Array;
  /** Since the last `solve`. */
  #added = 0;

  constructor({ means, spreads, commonSpread, kinds }: FitOptions) {
    const size = means.length;
    assert(spreads.length === size && spreads.every((spread) => spread > 0), "every coefficient may move");
    this.#size = size;
    this.#means = Float64Array.from(means);
    this.#spreads = Float64Array.from(spreads);
    this.coefficients = Float64Array.from(means);
    this.#scaled = new Float64Array(size);
    this.#seen = Array.from({ length: kinds }, () => new Float64Array((size * (size + 1)) / 2));
    this.#sides = Array.from({ length: kinds }, () => new Float64Array(size));
    this.#prior = priorInformation(means, spreads, commonSpread);
  }

  /** Takes one value that was seen, as the sum of these features. What the means and spreads cannot scale is left out. */
  add(kind: number, features: Float64Array, value: number): void {
    let expected = 0;
    let scale = 0;
    for (let at = 0; at < this.#size; at++) {
      const feature = features[at]!;
      expected += feature * this.#means[at]!;
      scale += feature * (this.#means[at]! + SPREAD_SHARE * this.#spreads[at]!);
      this.#scaled[at] = feature * this.#spreads[at]!;
    }
    if (!(scale > 0)) return;
    this.#added++;
    const weight = 1 / (NOISE * scale) ** 2;
    const keep = 1 - 1 / WINDOW;
    const [matrix, side] = [this.#seen[kind]!, this.#sides[kind]!];
    for (let row = 0, at = 0; row < this.#size; row++) {
      const weighted = weight * this.#scaled[row]!;
      side[row] = keep * side[row]! + weighted * (value - expected);
      for (let column = 0; column <= row; column++, at++) {
        matrix[at] = keep * matrix[at]! + weighted * this.#scaled[column]!;
      }
    }
  }

  /** Brings the coefficients up to what was added. */
  solve(): void {
    const size = this.#size;
    const matrix = Float64Array.from(this.#prior);
    const side = new Float64Array(size);
    const keep = (1 - 1 / FAR_WINDOW) ** this.#added;
    this.#added = 0;
    for (let kind = 0; kind < this.#seen.length; kind++) {
      addKept(matrix, this.#seen[kind]!, keep);
      addKept(side, this.#sides[kind]!, keep);
    }
    const least = this.#means.map((mean, at) => -mean / this.#spreads[at]!);
    const moved = solveBounded({ size, matrix, side }, least);
    for (let at = 0; at < size; at++) {
      this.coefficients[at] = Math.max(0, this.#means[at]! + this.#spreads[at]! * moved[at]!);
    }
  }
}

/** Lets a part of what was kept be forgotten, and adds the rest to a sum. */
function addKept(sum: Float64Array, kept: Float64Array, keep: number): void {
  for (let at = 0; at < kept.length; at++) {
    kept[at]! *= keep;
    sum[at]! += kept[at]!;
  }
}

/** Where a symmetric matrix has an entry, of which the lower half is kept row by row. */
function placeOf(row: number, column: number): number {
  return row >= column ? (row * (row + 1)) / 2 + column : (column * (column + 1)) / 2 + row;
}

/**
 * The inverse of a covariance of 1 on the diagonal and a common factor along the means, in units of the spreads (Sherman
 * and Morrison).
 */
function priorInformation(means: readonly number[], spreads: readonly number[], commonSpread: number): Float64Array {
  const size = means.length;
  const along = means.map((mean, at) => mean / spreads[at]!);
  const share = commonSpread ** 2 / (1 + commonSpread ** 2 * along.reduce((sum, each) => sum + each ** 2, 0));
  const prior = new Float64Array((size * (size + 1)) / 2);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column <= row; column++) {
      prior[placeOf(row, column)] = (row === column ? 1 : 0) - share * along[row]! * along[column]!;
    }
  }
  return prior;
}

/** Normal equations; the lower half of the matrix, row by row. It is positive definite. */
interface Equations {
  readonly size: number;
  readonly matrix: Float64Array;
  readonly side: Float64Array;
}

/** Solves with bounds from below: what falls short of its bound is held there, the furthest first, and the rest solved again. */
function solveBounded(equations: Equations, least: Float64Array): Float64Array {
  const out = new Float64Array(equations.size);
  const isHeld = new Uint8Array(equations.size);
  for (;;) {
    solveFree(equations, isHeld, out);
    let worst = -1;
    for (let at = 0; at < out.length; at++) {
      const short = least[at]! - out[at]!;
      if (isHeld[at] === 0 && short > 0 && (worst < 0 || short > least[worst]! - out[worst]!)) worst = at;
    }
    if (worst < 0) return out;
    out[worst] = least[worst]!;
    isHeld[worst] = 1;
  }
}

/** Solves for those that are not held by Cholesky's factors; a held one has the row of an identity. */
function solveFree({ size, matrix, side }: Equations, isHeld: Uint8Array, out: Float64Array): void {
  const factor = new Float64Array(matrix.length);
  const half = new Float64Array(size);
  for (let row = 0; row < size; row++) {
    if (isHeld[row] === 1) continue;
    let right = side[row]!;
    for (let held = 0; held < size; held++) if (isHeld[held] === 1) right -= matrix[placeOf(row, held)]! * out[held]!;
    const start = placeOf(row, 0);
    for (let column = 0; column <= row; column++) {
      if (isHeld[column] === 1) continue;
      const other = placeOf(column, 0);
      let sum = matrix[start + column]!;
      for (let at = 0; at < column; at++) sum -= factor[start + at]! * factor[other + at]!;
      factor[start + column] = row === column ? Math.sqrt(sum) : sum / factor[other + column]!;
    }
    for (let at = 0; at < row; at++) right -= factor[start + at]! * half[at]!;
    half[row] = right / factor[start + row]!;
  }
  for (let row = size - 1; row >= 0; row--) {
    if (isHeld[row] === 1) continue;
    let value = half[row]!;
    for (let below = row + 1; below < size; below++) {
      if (isHeld[below] === 0) value -= factor[placeOf(below, row)]! * out[below]!;
    }
    out[row] = value / factor[placeOf(row, row)]!;
  }
}
