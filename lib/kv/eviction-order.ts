/** One candidate: evict the lowest priority first, then the lowest tick. */
export interface Candidate {
  readonly block: number;
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
  #heap: Candidate[] = [];
  readonly #bound: number;
  readonly #isTrue: (candidate: Candidate) => boolean;

  constructor(bound: number, isTrue: (candidate: Candidate) => boolean) {
    this.#bound = bound * 2 + 64;
    this.#isTrue = isTrue;
  }

  /** Entries held, true or not. */
  get size(): number {
    return this.#heap.length;
  }

  push(candidate: Candidate): void {
    if (this.#heap.length >= this.#bound) this.#sweep();
    this.#heap.push(candidate);
    this.#rise(this.#heap.length - 1);
  }

  /** Takes the first candidate that is still true. */
  pop(): Candidate | undefined {
    for (;;) {
      const first = this.#heap[0];
      if (!first) return undefined;
      const last = this.#heap.pop()!;
      if (this.#heap.length > 0) {
        this.#heap[0] = last;
        this.#sink(0);
      }
      if (this.#isTrue(first)) return first;
    }
  }

  #sweep(): void {
    this.#heap = this.#heap.filter(this.#isTrue).sort((left, right) => (before(left, right) ? -1 : 1));
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const moved = heap[from]!;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(moved, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = moved;
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const moved = heap[from]!;
    let at = from;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
  }
}
