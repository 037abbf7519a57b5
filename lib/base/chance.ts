/** Chance as a parameter. The system's is seeded from the operating system, a test's from a number. */
export interface Chance {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform 64 bits, never 0: for ids. */
  id(): bigint;
}

/** Chance from a seed (splitmix64: Steele, Lea and Flood, OOPSLA 2014). The same seed draws the same numbers everywhere. */
export class SeededChance implements Chance {
  #state: bigint;

  constructor(seed: bigint) {
    this.#state = BigInt.asUintN(64, seed);
  }

  #next64(): bigint {
    this.#state = BigInt.asUintN(64, this.#state + 0x9e3779b97f4a7c15n);
    let z = this.#state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }

  next(): number {
    return Number(this.#next64() >> 11n) / 2 ** 53;
  }

  id(): bigint {
    return this.#next64() || 1n;
  }
}

/** A whole number in [0, count). `count` is at least 1. */
export function pick(chance: Chance, count: number): number {
  return Math.min(count - 1, Math.floor(chance.next() * count));
}
