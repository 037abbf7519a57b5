import { StatorError } from "#lib/base/errors";

/** One who waits for places. */
interface Ask {
  /** Most that it takes at once. */
  readonly most: number;
  /** Gives them. */
  readonly grant: (slots: number[]) => void;
}

/** Places of equal size in a stretch of memory: who asks first is served first, a few at a time, so that all take turns. */
export class SlotQueue {
  readonly count: number;
  readonly #taken: Uint8Array;
  readonly #asks: Ask[] = [];
  readonly #maxWaiting: number;
  #free: number;
  /** Where the search goes on: places that follow each other are given to one who asks. */
  #hand = 0;
  #isGranting = false;

  /** @param maxWaiting who may wait at once */
  constructor(count: number, maxWaiting: number) {
    this.count = count;
    this.#taken = new Uint8Array(count);
    this.#maxWaiting = maxWaiting;
    this.#free = count;
  }

  /** Places that nobody has. */
  get free(): number {
    return this.#free;
  }

  /**
   * Asks for one place at least and `most` at most. `grant` is called once with their numbers, ascending but for one turn
   * around, from inside where some are free. Returns what takes the question back. Throws LIMIT when too many wait.
   */
  ask(most: number, grant: (slots: number[]) => void): () => void {
    if (this.#asks.length >= this.#maxWaiting) {
      throw new StatorError("LIMIT", { what: "The queue for memory of transfers", limit: this.#maxWaiting });
    }
    const ask: Ask = { most, grant };
    this.#asks.push(ask);
    this.#grant();
    return () => {
      const at = this.#asks.indexOf(ask);
      if (at >= 0) this.#asks.splice(at, 1);
    };
  }

  /** Gives places back. */
  give(slots: readonly number[]): void {
    for (const slot of slots) {
      this.#free += this.#taken[slot]!;
      this.#taken[slot] = 0;
    }
    this.#grant();
  }

  /** A loop: who is granted may ask again from inside. */
  #grant(): void {
    if (this.#isGranting) return;
    this.#isGranting = true;
    while (this.#free > 0) {
      const ask = this.#asks.shift();
      if (!ask) break;
      ask.grant(this.#take(ask.most));
    }
    this.#isGranting = false;
  }

  #take(most: number): number[] {
    const slots: number[] = [];
    const wanted = Math.min(most, this.#free);
    while (slots.length < wanted) {
      if (this.#taken[this.#hand] === 0) {
        this.#taken[this.#hand] = 1;
        slots.push(this.#hand);
      }
      this.#hand = (this.#hand + 1) % this.count;
    }
    this.#free -= wanted;
    return slots;
  }
}
