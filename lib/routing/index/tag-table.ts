/**
 * Numbers by a tag of 32 bits, several of which may be equal: whoever looks one up compares what the number stands for.
 * Open addressing with linear probing in one array of (number + 1, tag) pairs; removal closes the gap. The top bits of a
 * tag are its home, so a tag is a product. For speed readers walk `pairs` themselves, from `tag >>> shift` on.
 */
export class TagTable {
  /** (number + 1, tag), 0 where there is none. */
  pairs: Int32Array;
  /** What makes the home of a tag. */
  shift: number;
  /** Places less one. */
  mask: number;

  /** As many can be in at once. */
  constructor(capacity: number) {
    const places = placesFor(capacity);
    this.pairs = new Int32Array(places * 2);
    this.mask = places - 1;
    this.shift = Math.clz32(places - 1);
  }

  /** Of a table with such a capacity. */
  static bytesFor(capacity: number): number {
    return placesFor(capacity) * 8;
  }

  get bytes(): number {
    return this.pairs.byteLength;
  }

  /** Makes room for as many as `capacity` at once; what is in stays in. */
  reserve(capacity: number): void {
    const places = placesFor(capacity);
    if (places <= this.mask + 1) return;
    const old = this.pairs;
    this.pairs = new Int32Array(places * 2);
    this.mask = places - 1;
    this.shift = Math.clz32(places - 1);
    for (let at = 0; at < old.length; at += 2) if (old[at] !== 0) this.insert(old[at + 1]!, old[at]! - 1);
  }

  /** Puts a number in, which is not in yet under this tag. */
  insert(tag: number, number: number): void {
    const { pairs, mask } = this;
    let at = tag >>> this.shift;
    while (pairs[at * 2] !== 0) at = (at + 1) & mask;
    pairs[at * 2] = number + 1;
    pairs[at * 2 + 1] = tag;
  }

  /** Puts another number in the place of one that is in. */
  replace(tag: number, number: number, by: number): void {
    this.pairs[this.#place(tag, number) * 2] = by + 1;
  }

  /** Takes a number out that is in. */
  remove(tag: number, number: number): void {
    const { pairs, mask, shift } = this;
    let hole = this.#place(tag, number);
    for (let at = (hole + 1) & mask; pairs[at * 2] !== 0; at = (at + 1) & mask) {
      const home = pairs[at * 2 + 1]! >>> shift;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      pairs[hole * 2] = pairs[at * 2]!;
      pairs[hole * 2 + 1] = pairs[at * 2 + 1]!;
      hole = at;
    }
    pairs[hole * 2] = 0;
  }

  #place(tag: number, number: number): number {
    const { pairs, mask } = this;
    let at = tag >>> this.shift;
    while (pairs[at * 2] !== number + 1) at = (at + 1) & mask;
    return at;
  }
}

/** A quarter stays free at least; at least 16. */
function placesFor(capacity: number): number {
  return 2 ** Math.max(4, Math.ceil(Math.log2(capacity * 1.25 + 1)));
}
