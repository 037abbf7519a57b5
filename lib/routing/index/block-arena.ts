/** Blocks that are taken and given back together: positions of a unit lie in one row. */
const UNIT_BLOCKS = 8;
const UNIT_SHIFT = 3;
/** Sizes of free stretches: 1, 2, 4 … units. */
const ORDERS = 8;

/** Blocks of the longest stretch. */
export const MAX_STRETCH = UNIT_BLOCKS << (ORDERS - 1);

/** Bytes of a block: content hash, name, owner; and its share of a unit's. */
const BLOCK_BYTES = 20 + 10 / UNIT_BLOCKS;

/**
 * Where blocks lie: stretches of positions, each with the content hash, the name and the run of its block. A buddy
 * allocator over units of eight (Knowlton, 1965): stretches of any length up to a power of two, which join again when
 * they are free. A stretch may be given back in parts.
 */
export class BlockArena {
  /** Positions, free ones among them; a multiple of MAX_STRETCH. */
  capacity = 0;
  /** Positions in units that nobody has. */
  freeBlocks = 0;
  /** Content hashes by position. As floats they compare fast; a NaN is compared by its words. */
  contents = new Float64Array(0);
  /** The same as words, low word first. */
  contentWords = new Int32Array(0);
  /** The same as numbers. */
  contentHashes = new BigUint64Array(0);
  /** Names of blocks by position, 0 for none; as words. */
  nameWords = new Int32Array(0);
  /** The same as numbers. */
  names = new BigUint64Array(0);
  /** The run of a block by position. */
  owner = new Int32Array(0);
  /** Positions of what was taken last. */
  taken = 0;
  /** By unit: positions that somebody has. */
  #inUse = new Uint8Array(0);
  /** By unit: order of the free stretch that begins here, plus one; 0 elsewhere. */
  #order = new Uint8Array(0);
  #next = new Int32Array(0);
  #previous = new Int32Array(0);
  /** By order the first free stretch, -1 for none. */
  readonly #heads = new Int32Array(ORDERS).fill(-1);

  /** Of an arena with as many positions. */
  static bytesFor(capacity: number): number {
    return capacity * BLOCK_BYTES;
  }

  get bytes(): number {
    return BlockArena.bytesFor(this.capacity);
  }

  /** Grows to `capacity` positions, a multiple of MAX_STRETCH. */
  grow(capacity: number): void {
    const contents = new ArrayBuffer(capacity * 8);
    const names = new ArrayBuffer(capacity * 8);
    const owner = new Int32Array(capacity);
    new Int32Array(contents).set(this.contentWords);
    new Int32Array(names).set(this.nameWords);
    owner.set(this.owner);
    this.contents = new Float64Array(contents);
    this.contentWords = new Int32Array(contents);
    this.contentHashes = new BigUint64Array(contents);
    this.nameWords = new Int32Array(names);
    this.names = new BigUint64Array(names);
    this.owner = owner;
    const units = capacity >> UNIT_SHIFT;
    this.#inUse = grown(this.#inUse, new Uint8Array(units));
    this.#order = grown(this.#order, new Uint8Array(units));
    this.#next = grown(this.#next, new Int32Array(units));
    this.#previous = grown(this.#previous, new Int32Array(units));
    const stretch = 1 << (ORDERS - 1);
    for (let unit = this.capacity >> UNIT_SHIFT; unit < units; unit += stretch) this.#link(unit, ORDERS - 1);
    this.freeBlocks += capacity - this.capacity;
    this.capacity = capacity;
  }

  /**
   * Takes a stretch for `blocks` blocks, or a shorter one where there is none; returns its first position, -1 where all
   * is taken. `taken` says how many it has, which may be more than asked for.
   */
  take(blocks: number): number {
    const units = Math.min(MAX_STRETCH, blocks + UNIT_BLOCKS - 1) >> UNIT_SHIFT;
    const wanted = units <= 1 ? 0 : 32 - Math.clz32(units - 1);
    let found = wanted;
    while (found < ORDERS && this.#heads[found]! < 0) found++;
    if (found === ORDERS) {
      found = wanted - 1;
      while (found >= 0 && this.#heads[found]! < 0) found--;
      if (found < 0) return -1;
    }
    const unit = this.#heads[found]!;
    this.#unlink(unit, found);
    while (found > wanted) {
      found--;
      this.#link(unit + (1 << found), found);
    }
    this.#inUse.fill(UNIT_BLOCKS, unit, unit + (1 << found));
    this.taken = UNIT_BLOCKS << found;
    this.freeBlocks -= this.taken;
    return unit << UNIT_SHIFT;
  }

  /** Gives positions `from` to `to - 1` back, which were taken. */
  give(from: number, to: number): void {
    for (let at = from; at < to; ) {
      const unit = at >> UNIT_SHIFT;
      const end = Math.min(to, (unit + 1) << UNIT_SHIFT);
      const left = this.#inUse[unit]! - (end - at);
      this.#inUse[unit] = left;
      if (left === 0) this.#free(unit);
      at = end;
    }
  }

  #free(freed: number): void {
    this.freeBlocks += UNIT_BLOCKS;
    let unit = freed;
    let order = 0;
    for (; order < ORDERS - 1; order++) {
      const buddy = unit ^ (1 << order);
      if (this.#order[buddy] !== order + 1) break;
      this.#unlink(buddy, order);
      unit = Math.min(unit, buddy);
    }
    this.#link(unit, order);
  }

  #link(unit: number, order: number): void {
    const head = this.#heads[order]!;
    this.#order[unit] = order + 1;
    this.#next[unit] = head;
    this.#previous[unit] = -1;
    if (head >= 0) this.#previous[head] = unit;
    this.#heads[order] = unit;
  }

  #unlink(unit: number, order: number): void {
    const next = this.#next[unit]!;
    const previous = this.#previous[unit]!;
    if (next >= 0) this.#previous[next] = previous;
    if (previous >= 0) this.#next[previous] = next;
    else this.#heads[order] = next;
    this.#order[unit] = 0;
  }
}

function grown<Numbers extends Uint8Array | Int32Array>(old: Numbers, larger: Numbers): Numbers {
  larger.set(old);
  return larger;
}
