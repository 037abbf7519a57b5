import { assert } from "./errors.ts";

/** First in, first out, with a bound. Push and shift take constant time; memory grows by doubling up to the bound. */
export class Queue<Item> {
  #items: (Item | undefined)[] = new Array(16);
  #head = 0;
  #size = 0;
  readonly capacity: number;

  constructor(capacity: number) {
    assert(capacity > 0, "a queue holds at least one item");
    this.capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /** Appends; false when the queue is full. */
  push(item: Item): boolean {
    if (this.#size === this.capacity) return false;
    if (this.#size === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#size) & (this.#items.length - 1)] = item;
    this.#size++;
    return true;
  }

  /** Takes the oldest. */
  shift(): Item | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#size--;
    return item;
  }

  /** Looks at the oldest. */
  peek(): Item | undefined {
    return this.#size === 0 ? undefined : this.#items[this.#head];
  }

  /** Looks at the one that so many come before; undefined beyond the newest. */
  at(place: number): Item | undefined {
    return place < this.#size ? this.#items[(this.#head + place) & (this.#items.length - 1)] : undefined;
  }

  #grow(): void {
    const bigger: (Item | undefined)[] = new Array(this.#items.length * 2);
    for (let at = 0; at < this.#size; at++) bigger[at] = this.#items[(this.#head + at) & (this.#items.length - 1)];
    this.#items = bigger;
    this.#head = 0;
  }
}

/** What is kept, and whether it was asked for since it was last passed over. */
interface Cached<Value> {
  readonly value: Value;
  readonly weight: number;
  used: boolean;
}

/**
 * Bounded by the sum of what its entries weigh, such as bytes. When it is full the oldest goes, unless it was asked for
 * since it was last passed over: then it becomes the youngest (second chance, which comes close to least recently used).
 * Asking costs one look-up and moves nothing.
 */
export class BoundedCache<Key, Value> {
  readonly #entries = new Map<Key, Cached<Value>>();
  readonly capacity: number;
  readonly #onEvict: ((key: Key, value: Value) => void) | undefined;
  #weight = 0;
  /** Stands before the oldest: a walk that begins anew would step over the holes of all that went before. */
  #hand: MapIterator<[Key, Cached<Value>]> | undefined;

  constructor(capacity: number, onEvict?: (key: Key, value: Value) => void) {
    this.capacity = capacity;
    this.#onEvict = onEvict;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Sum of the weights held now; never more than the capacity. */
  get weight(): number {
    return this.#weight;
  }

  /** The value; asking for it keeps it longer. */
  get(key: Key): Value | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    entry.used = true;
    return entry.value;
  }

  /** Keeps a value; one that weighs more than the whole capacity is not kept. */
  set(key: Key, value: Value, weight: number): void {
    this.delete(key);
    if (weight > this.capacity) return;
    // Room is made first: the newest is not asked for yet, and would be the one to go.
    while (this.#weight + weight > this.capacity) this.#evict();
    this.#entries.set(key, { value, weight, used: false });
    this.#weight += weight;
  }

  delete(key: Key): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
  }

  /** Lets the oldest go that was not asked for. Every entry is passed over at most once. */
  #evict(): void {
    for (;;) {
      this.#hand ??= this.#entries.entries();
      const next = this.#hand.next();
      if (next.done) {
        assert(this.#entries.size > 0, "a cache over its capacity holds an entry");
        this.#hand = undefined;
        continue;
      }
      const [key, entry] = next.value;
      this.#entries.delete(key);
      if (!entry.used) {
        this.#weight -= entry.weight;
        this.#onEvict?.(key, entry.value);
        return;
      }
      entry.used = false;
      this.#entries.set(key, entry);
    }
  }
}

/** Something that is in a roster; it remembers its place there. One that is in two rosters needs two places. */
export interface Rostered {
  /** Owned by the roster; -1 outside. */
  rosterAt: number;
}

/**
 * Items that come and go all the time, in no order. A Set or Map that churns leaves its outgrown tables linked to the
 * next ones, and once such a table is old, every item of the chain outlives all quick collections: each request would
 * cost its memory until the next full one. An array has no such chain.
 */
export class Roster<Item extends Rostered> {
  readonly #items: Item[] = [];

  get size(): number {
    return this.#items.length;
  }

  /** Adds an item that is not in. */
  add(item: Item): void {
    item.rosterAt = this.#items.length;
    this.#items.push(item);
  }

  /** Whether the item is in. */
  has(item: Item): boolean {
    return this.#items[item.rosterAt] === item;
  }

  /** Takes an item out; false when it was not in. The last item takes its place. */
  delete(item: Item): boolean {
    if (!this.has(item)) return false;
    const last = this.#items.pop()!;
    if (last !== item) {
      this.#items[item.rosterAt] = last;
      last.rosterAt = item.rosterAt;
    }
    item.rosterAt = -1;
    return true;
  }

  /** The items now, as a copy: what is called may add and delete. */
  snapshot(): Item[] {
    return this.#items.slice();
  }
}
