/** What was seen of one hand-off of blocks. */
export interface TransferSeen {
  /** Bytes that came. */
  readonly bytes: number;
  /** From when they were asked for until the last was in the engine, in milliseconds. */
  readonly ms: number;
}

/** What is taken for true before anything was seen. */
export interface TransferPrior {
  /** Milliseconds of any transfer, however small; more than 0. */
  readonly latencyMs: number;
  /** Bytes of a millisecond. */
  readonly bytesPerMs: number;
}

/** What was seen counts 1 ÷ e after so many transfers. */
const WINDOW = 32;
/** The prior counts as two transfers: one of nothing, one of so many bytes. */
const PRIOR_BYTES = 64 << 20;
const LEAST_BYTES_PER_MS = 1;

/**
 * How long blocks take from one worker to another: a latency and a bandwidth, as a line through what was seen, which is as
 * good as the prior until then. Distances count by their share of what the prior says of the size: a large transfer says no
 * more than a small one.
 */
export class TransferTimes {
  readonly #prior: TransferPrior;
  /** Sums of w, w·x, w·y, w·x·x, w·x·y with x in bytes and y in ms. */
  readonly #sums: [number, number, number, number, number] = [0, 0, 0, 0, 0];
  #latencyMs: number;
  #msPerByte: number;
  #seen = 0;

  constructor(prior: TransferPrior) {
    this.#prior = prior;
    this.#latencyMs = prior.latencyMs;
    this.#msPerByte = 1 / Math.max(LEAST_BYTES_PER_MS, prior.bytesPerMs);
    for (const bytes of [0, PRIOR_BYTES]) this.#add(bytes, this.ms(bytes));
  }

  /** Transfers that it learned from. */
  get seen(): number {
    return this.#seen;
  }

  /** Predicted milliseconds of so many bytes. */
  ms(bytes: number): number {
    return this.#latencyMs + bytes * this.#msPerByte;
  }

  /** Learns from one; false where it tells nothing: it brought nothing, or took no time. */
  observe({ bytes, ms }: TransferSeen): boolean {
    if (!(bytes > 0 && ms > 0)) return false;
    this.#seen++;
    for (let at = 0; at < this.#sums.length; at++) this.#sums[at]! *= 1 - 1 / WINDOW;
    this.#add(bytes, ms);
    this.#solve();
    return true;
  }

  #add(bytes: number, ms: number): void {
    const expectedMs = this.#prior.latencyMs + bytes / Math.max(LEAST_BYTES_PER_MS, this.#prior.bytesPerMs);
    const weight = 1 / (expectedMs * expectedMs);
    const terms = [1, bytes, ms, bytes * bytes, bytes * ms];
    for (const [at, term] of terms.entries()) this.#sums[at]! += weight * term;
  }

  #solve(): void {
    const [w, x, y, xx, xy] = this.#sums;
    const spread = w * xx - x * x;
    const slope = spread > 0 ? (w * xy - x * y) / spread : 0;
    const latencyMs = (y - slope * x) / w;
    if (slope > 0 && latencyMs >= 0) [this.#latencyMs, this.#msPerByte] = [latencyMs, slope];
    // A line that bends down at either end is one through the origin, or a mean.
    else if (slope > 0) [this.#latencyMs, this.#msPerByte] = [0, xy / xx];
    else [this.#latencyMs, this.#msPerByte] = [y / w, 1 / Math.max(LEAST_BYTES_PER_MS, this.#prior.bytesPerMs)];
  }
}
