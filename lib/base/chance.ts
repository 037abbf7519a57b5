/** Chance as a parameter. The system's is seeded from the operating system, a test's from a number. */
export interface Chance {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform 64 bits, never 0: for ids. */
  id(): bigint;
}

/**
 * Chance from a seed (splitmix64: Steele, Lea and Flood, OOPSLA 2014). The same seed draws the same numbers everywhere.
 * The 64 bits are kept as two halves, which is five times as fast as a bigint.
 */
export class SeededChance implements Chance {
  #stateHigh: number;
  #stateLow: number;
  /** What was drawn last. */
  #high = 0;
  #low = 0;
  readonly #halves = new Int32Array(2);
  readonly #whole = new BigUint64Array(this.#halves.buffer);

  constructor(seed: bigint) {
    this.#stateHigh = Number(BigInt.asIntN(32, seed >> 32n));
    this.#stateLow = Number(BigInt.asIntN(32, seed));
  }

  #draw(): void {
    const sum = (this.#stateLow >>> 0) + 0x7f4a7c15;
    let low = sum | 0;
    let high = (this.#stateHigh + 0x9e3779b9 + (sum > 0xffffffff ? 1 : 0)) | 0;
    this.#stateHigh = high;
    this.#stateLow = low;
    low ^= (low >>> 30) | (high << 2);
    high ^= high >>> 30;
    high = (Math.imul(high, 0x1ce4e5b9) + Math.imul(low, 0xbf58476d) + productHigh(low, 0x1ce4e5b9)) | 0;
    low = Math.imul(low, 0x1ce4e5b9);
    low ^= (low >>> 27) | (high << 5);
    high ^= high >>> 27;
    high = (Math.imul(high, 0x133111eb) + Math.imul(low, 0x94d049bb) + productHigh(low, 0x133111eb)) | 0;
    low = Math.imul(low, 0x133111eb);
    this.#low = low ^ ((low >>> 31) | (high << 1));
    this.#high = high ^ (high >>> 31);
  }

  next(): number {
    this.#draw();
    return ((this.#high >>> 0) * 2 ** 21 + (this.#low >>> 11)) / 2 ** 53;
  }

  id(): bigint {
    this.#draw();
    this.#halves[0] = this.#low;
    this.#halves[1] = this.#high;
    return this.#whole[0] || 1n;
  }
}

/** The upper 32 bits of the product of two unsigned numbers of 32 bits. */
function productHigh(left: number, right: number): number {
  const [leftLow, rightLow] = [left & 0xffff, right & 0xffff];
  const [leftHigh, rightHigh] = [left >>> 16, right >>> 16];
  const middle = leftHigh * rightLow + ((leftLow * rightLow) >>> 16);
  const rest = (middle & 0xffff) + leftLow * rightHigh;
  return (leftHigh * rightHigh + (middle >>> 16) + (rest >>> 16)) | 0;
}

/** A whole number in [0, count). `count` is at least 1. */
export function pick(chance: Chance, count: number): number {
  return Math.min(count - 1, Math.floor(chance.next() * count));
}
