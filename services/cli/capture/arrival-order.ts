import { Heap } from "#lib/base/heap";

/** Where something stands in the order in which requests came. */
export interface Numbered {
  /** From 0. */
  readonly number: number;
  /** Everything with a lower number came before this, or comes never. */
  readonly openFrom: number;
}

/** Gives what comes as requests end in the order in which they came: held back until nothing earlier is open. Bounded. */
export class ArrivalOrder<Item extends Numbered> {
  readonly #most: number;
  readonly #held = new Heap<Item>((left, right) => left.number < right.number);
  #from = 0;
  #late = 0;

  /** `most`: items that are held back; of more the first are given, though earlier ones are open. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Items that are held back. */
  get held(): number {
    return this.#held.size;
  }

  /** Items that came when later ones had been given, and were left out. */
  get late(): number {
    return this.#late;
  }

  /** What can be given now that this came, in order. */
  add(item: Item): Item[] {
    if (item.number < this.#from) {
      this.#late++;
      return [];
    }
    this.#held.push(item);
    this.#from = Math.max(this.#from, item.openFrom);
    const given: Item[] = [];
    for (let first = this.#held.peek(); first; first = this.#held.peek()) {
      if (first.number >= this.#from && this.#held.size <= this.#most) break;
      this.#held.pop();
      this.#from = Math.max(this.#from, first.number + 1);
      given.push(first);
    }
    return given;
  }

  /** Everything that is held back, in order. */
  rest(): Item[] {
    const given: Item[] = [];
    for (let first = this.#held.pop(); first; first = this.#held.pop()) given.push(first);
    return given;
  }
}
