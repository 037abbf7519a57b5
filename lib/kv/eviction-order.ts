import { Heap } from "#lib/base/heap";

/** One candidate: evict the lowest priority first, then the lowest tick. */
export interface Candidate {
  /** Its number in the pool. */
  readonly block: number;
  /** The lowest goes first. */
  readonly priority: number;
  /** When it was returned, on the pool's own count of returns; also tells whether the entry is still true. */
  readonly tick: number;
}

function before(left: Candidate, right: Candidate): boolean {
  return left.priority === right.priority ? left.tick < right.tick : left.priority < right.priority;
}

/**
 * A heap of eviction candidates. Entries are not taken out when they cease to be true: `isTrue` is asked when one
 * comes up, and all are asked when the heap has outgrown its bound. Push and pop take logarithmic time.
 */
export class EvictionOrder {
  readonly #heap = new Heap<Candidate>(before);
  readonly #bound: number;
  readonly #isTrue: (candidate: Candidate) => boolean;

  constructor(bound: number, isTrue: (candidate: Candidate) => boolean) {
    this.#bound = bound * 2 + 64;
    this.#isTrue = isTrue;
  }

  /** Entries held, true or not. */
  get size(): number {
    return this.#heap.size;
  }

  push(candidate: Candidate): void {
    if (this.#heap.size >= this.#bound) this.#heap.keep(this.#isTrue);
    this.#heap.push(candidate);
  }

  /** Takes the first candidate that is still true. */
  pop(): Candidate | undefined {
    for (;;) {
      const first = this.#heap.pop();
      if (!first || this.#isTrue(first)) return first;
    }
  }
}
