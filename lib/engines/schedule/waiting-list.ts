import type { Sequence } from "./sequence.ts";

/** Whether left is to run before right: higher priority first, then the earlier arrival. */
function before(left: Sequence, right: Sequence): boolean {
  if (left.request.priority !== right.request.priority) return left.request.priority > right.request.priority;
  return left.order < right.order;
}

/** Requests that wait, in the order in which they are to run. A preempted one finds its old place again. */
export class WaitingList {
  readonly #items: Sequence[] = [];
  #tokens = 0;

  get size(): number {
    return this.#items.length;
  }

  /** Known tokens of all that wait. */
  get tokens(): number {
    return this.#tokens;
  }

  at(index: number): Sequence | undefined {
    return this.#items[index];
  }

  /** Returns how many are ahead of it. */
  add(sequence: Sequence): number {
    const at = this.#place(sequence);
    this.#items.splice(at, 0, sequence);
    this.#tokens += sequence.chain.length;
    return at;
  }

  /** Takes one out; its tokens must not have changed since it was added. */
  remove(sequence: Sequence): void {
    const at = this.#place(sequence);
    if (this.#items[at] !== sequence) return;
    this.#items.splice(at, 1);
    this.#tokens -= sequence.chain.length;
  }

  /** A waiting sequence got tokens that were on their way when it was preempted. */
  addTokens(count: number): void {
    this.#tokens += count;
  }

  #place(sequence: Sequence): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.#items[middle]!, sequence)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
