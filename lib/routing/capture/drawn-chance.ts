import type { Chance } from "#lib/base/chance";

/** Draws that are remembered of one choice: no rule draws more than two. */
const MOST = 16;

/** Hands draws through and remembers those since it began: what was drawn can be said again. Makes nothing for a draw. */
export class DrawnChance implements Chance {
  readonly #inner: Chance;
  readonly #drawn = new Float64Array(MOST);
  #count = 0;

  /** Borrows what it draws from. */
  constructor(inner: Chance) {
    this.#inner = inner;
  }

  /** What `next` gave since it began, as an array of the caller's own. */
  get drawn(): Float64Array {
    return this.#drawn.slice(0, this.#count);
  }

  /** Forgets what was drawn. */
  begin(): void {
    this.#count = 0;
  }

  next(): number {
    const drawn = this.#inner.next();
    if (this.#count < MOST) this.#drawn[this.#count++] = drawn;
    return drawn;
  }

  id(): bigint {
    return this.#inner.id();
  }
}

/** Gives what was drawn before once more, and where more is asked for, draws of another chance. */
export class ToldChance implements Chance {
  readonly #told: Float64Array;
  readonly #rest: Chance;
  #at = 0;

  constructor(told: Float64Array, rest: Chance) {
    this.#told = told;
    this.#rest = rest;
  }

  next(): number {
    return this.#at < this.#told.length ? this.#told[this.#at++]! : this.#rest.next();
  }

  id(): bigint {
    return this.#rest.id();
  }
}
