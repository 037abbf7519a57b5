/** A binary heap: the first item by an order of the owner's. Push and pop take logarithmic time. */
export class Heap<Item> {
  #items: Item[] = [];
  readonly #isBefore: (left: Item, right: Item) => boolean;

  /** `isBefore` tells of any two items in the heap which is taken first, always the same. */
  constructor(isBefore: (left: Item, right: Item) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#rise(this.#items.length - 1);
  }

  /** Looks at the first. */
  peek(): Item | undefined {
    return this.#items[0];
  }

  /** Takes the first. */
  pop(): Item | undefined {
    const items = this.#items;
    const first = items[0];
    const last = items.pop();
    if (items.length > 0) {
      items[0] = last as Item;
      this.#sink(0);
    }
    return first;
  }

  /** Drops every item that is not to be kept, in time linear in the size. */
  keep(isKept: (item: Item) => boolean): void {
    this.#items = this.#items.filter(isKept);
    for (let at = (this.#items.length >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  #rise(from: number): void {
    const items = this.#items;
    const moved = items[from] as Item;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(moved, items[parent] as Item)) break;
      items[at] = items[parent] as Item;
      at = parent;
    }
    items[at] = moved;
  }

  #sink(from: number): void {
    const items = this.#items;
    const moved = items[from] as Item;
    let at = from;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#isBefore(items[child + 1] as Item, items[child] as Item)) child++;
      if (!this.#isBefore(items[child] as Item, moved)) break;
      items[at] = items[child] as Item;
      at = child;
    }
    items[at] = moved;
  }
}
