import type { Distribution } from "./distribution.ts";

/** Each bucket ends so many times as late as the one before it. */
const STEP = 1.005;
const LOG_STEP = Math.log(STEP);
/** Where the first one ends; and how many there are: the last begins after days. */
const FIRST_MS = 0.01;
const BUCKETS = 4_800;

/** Times between tokens, as many as a replay has: it counts them in buckets, so quantiles are up to 0.5 % too high. */
export class GapBook {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sumMs = 0;

  /** So many gaps of so many ms. */
  add(ms: number, count = 1): void {
    const at = ms <= FIRST_MS ? 0 : Math.ceil(Math.log(ms / FIRST_MS) / LOG_STEP);
    this.#counts[Math.min(at, BUCKETS - 1)]! += count;
    this.#count += count;
    this.#sumMs += ms * count;
  }

  /** All of them; NaN where there are none. */
  get distribution(): Distribution {
    const mean = this.#sumMs / this.#count;
    return { mean, p50: this.#quantile(0.5), p90: this.#quantile(0.9), p99: this.#quantile(0.99) };
  }

  #quantile(share: number): number {
    if (this.#count === 0) return Number.NaN;
    let at = 0;
    for (let below = this.#counts[0]!; below < share * this.#count; below += this.#counts[at]!) at++;
    return FIRST_MS * STEP ** at;
  }
}
