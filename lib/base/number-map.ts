/** Marks a place without a key. Keys are unsigned, so no key is negative. */
const FREE = -1;

/**
 * Items by number, as a Map that may churn: open requests by their handle. A Map links every table that it outgrows to
 * the next one, and once such a table is old, whatever the chain ever held outlives all quick collections (see Roster).
 * Open addressing with linear probing in two arrays; removal closes the gap, so no place is ever lost.
 */
export class NumberMap<Item> {
  #keys: number[];
  #items: (Item | undefined)[];
  #mask: number;
  #size = 0;

  constructor() {
    this.#mask = 15;
    this.#keys = new Array<number>(16).fill(FREE);
    this.#items = new Array<Item | undefined>(16).fill(undefined);
  }

  get size(): number {
    return this.#size;
  }

  get(key: number): Item | undefined {
    return this.#items[this.#find(key)];
  }

  has(key: number): boolean {
    return this.#keys[this.#find(key)] === key;
  }

  /** Keeps an item under a key from 0 to 4,294,967,295; another one that was there leaves. */
  set(key: number, item: Item): this {
    let at = this.#find(key);
    if (this.#keys[at] !== key) {
      if (this.#size * 2 >= this.#mask) {
        this.#resize((this.#mask + 1) * 2);
        at = this.#find(key);
      }
      this.#keys[at] = key;
      this.#size++;
    }
    this.#items[at] = item;
    return this;
  }

  /** Removes an item; false when there was none. */
  delete(key: number): boolean {
    let hole = this.#find(key);
    if (this.#keys[hole] !== key) return false;
    // Whoever was pushed behind the hole by it moves up.
    for (let at = (hole + 1) & this.#mask; this.#keys[at] !== FREE; at = (at + 1) & this.#mask) {
      const home = this.#home(this.#keys[at] as number);
      if (((at - home) & this.#mask) < ((at - hole) & this.#mask)) continue;
      this.#keys[hole] = this.#keys[at] as number;
      this.#items[hole] = this.#items[at];
      hole = at;
    }
    this.#keys[hole] = FREE;
    this.#items[hole] = undefined;
    this.#size--;
    return true;
  }

  clear(): void {
    this.#keys.fill(FREE);
    this.#items.fill(undefined);
    this.#size = 0;
  }

  /** The items now, in no order, as an array of the caller's own. */
  values(): Item[] {
    const out: Item[] = [];
    for (let at = 0; at < this.#keys.length; at++) if (this.#keys[at] !== FREE) out.push(this.#items[at] as Item);
    return out;
  }

  /** Neighbouring handles should not be neighbours here: Knuth's multiplicative hashing. */
  #home(key: number): number {
    return (Math.imul(key, 0x9e3779b1) >>> 8) & this.#mask;
  }

  /** The place of a key, or the free place where it belongs. */
  #find(key: number): number {
    let at = this.#home(key);
    while (this.#keys[at] !== key && this.#keys[at] !== FREE) at = (at + 1) & this.#mask;
    return at;
  }

  #resize(places: number): void {
    const keys = this.#keys;
    const items = this.#items;
    this.#mask = places - 1;
    this.#keys = new Array<number>(places).fill(FREE);
    this.#items = new Array<Item | undefined>(places).fill(undefined);
    for (let at = 0; at < keys.length; at++) {
      const key = keys[at] as number;
      if (key === FREE) continue;
      const to = this.#find(key);
      this.#keys[to] = key;
      this.#items[to] = items[at];
    }
  }
}
