import { assert } from "#lib/base/errors";
import { EvictionOrder } from "./eviction-order.ts";

/** Where a block is in its life: reset → partial → complete → registered → reset. */
export const BLOCK_STATES = ["reset", "partial", "complete", "registered"] as const;

/** One of the states. */
export type BlockState = (typeof BLOCK_STATES)[number];

const RESET = 0;
const PARTIAL = 1;
const COMPLETE = 2;
const REGISTERED = 3;

/** No block: the parent of the first block of a sequence. */
export const NO_BLOCK = -1;

/** How a pool is made. */
export interface BlockPoolOptions {
  /** Blocks of the pool, numbered from 0. */
  readonly blocks: number;
  /** Most blocks of priority 0 that stay as cache when nobody uses them; default: all. */
  readonly maxCached?: number;
  /**
   * Called when a registered block leaves the pool, before its place is given away; `wasHidden`: its name went before. Not to
   * call the pool.
   */
  readonly onEvict?: (block: number, hash: bigint, wasHidden: boolean) => void;
}

/**
 * Keeps account of KV blocks by number; it holds no bytes. A block in use has references; a registered one without
 * references stays as cache until its place is needed. Whoever references a registered block must reference all blocks
 * before it in its sequence too: so the cache stays closed under prefixes, and leaves are evicted before their parents.
 */
export class BlockPool {
  readonly totalBlocks: number;
  readonly #maxCached: number;
  readonly #onEvict: BlockPoolOptions["onEvict"];
  readonly #byHash = new Map<bigint, number>();
  readonly #state: Uint8Array;
  readonly #references: Int32Array;
  readonly #children: Int32Array;
  readonly #parent: Int32Array;
  readonly #priority: Int32Array;
  /** 1: it is not to stay as cache. */
  readonly #doomed: Uint8Array;
  /** 1: nobody finds it any more. */
  readonly #hidden: Uint8Array;
  readonly #tick: Float64Array;
  readonly #hash: BigUint64Array;
  readonly #reset: Int32Array;
  readonly #order: EvictionOrder;
  #resetCount: number;
  #cachedCount = 0;
  /** Of these, those of priority 0 or less. */
  #plainCount = 0;
  #ticks = 0;

  constructor(options: BlockPoolOptions) {
    const { blocks } = options;
    assert(Number.isInteger(blocks) && blocks > 0, "a pool has at least one block");
    this.totalBlocks = blocks;
    this.#maxCached = options.maxCached ?? blocks;
    this.#onEvict = options.onEvict;
    this.#state = new Uint8Array(blocks);
    this.#references = new Int32Array(blocks);
    this.#children = new Int32Array(blocks);
    this.#parent = new Int32Array(blocks).fill(NO_BLOCK);
    this.#priority = new Int32Array(blocks);
    this.#doomed = new Uint8Array(blocks);
    this.#hidden = new Uint8Array(blocks);
    this.#tick = new Float64Array(blocks);
    this.#hash = new BigUint64Array(blocks);
    this.#reset = Int32Array.from({ length: blocks }, (_, at) => blocks - 1 - at);
    this.#resetCount = blocks;
    this.#order = new EvictionOrder(blocks, ({ block, tick }) => this.#tick[block] === tick && this.#isLeaf(block));
  }

  /** Blocks that hold nothing. */
  get resetBlocks(): number {
    return this.#resetCount;
  }

  /** Registered blocks that nobody references. */
  get cachedBlocks(): number {
    return this.#cachedCount;
  }

  /** Blocks that somebody references. */
  get usedBlocks(): number {
    return this.totalBlocks - this.#resetCount - this.#cachedCount;
  }

  /** Blocks that `allocate` could give. */
  get availableBlocks(): number {
    return this.#resetCount + this.#cachedCount;
  }

  /** Registered blocks that can be found, referenced or not. */
  get registeredBlocks(): number {
    return this.#byHash.size;
  }

  state(block: number): BlockState {
    return BLOCK_STATES[this.#state[block]!]!;
  }

  references(block: number): number {
    return this.#references[block]!;
  }

  /** The sequence hash of a registered block. */
  hash(block: number): bigint {
    assert(this.#state[block] === REGISTERED, "only a registered block has a hash");
    return this.#hash[block]!;
  }

  /** The block before it in its sequence, or NO_BLOCK. */
  parent(block: number): number {
    return this.#parent[block]!;
  }

  /** The registered block of a hash. It is not referenced by this. */
  find(hash: bigint): number | undefined {
    return this.#byHash.get(hash);
  }

  /**
   * Takes `count` blocks, each partial and with one reference, evicting cached ones where needed. Undefined when there
   * are not enough; nothing has changed then.
   */
  allocate(count: number): number[] | undefined {
    if (count > this.availableBlocks) return undefined;
    while (this.#resetCount < count) {
      const first = this.#order.pop();
      assert(first, "a cached block without children can be found while there are cached blocks");
      this.evict(first.block);
    }
    const blocks: number[] = [];
    for (let at = 0; at < count; at++) {
      const block = this.#reset[--this.#resetCount]!;
      this.#state[block] = PARTIAL;
      this.#references[block] = 1;
      this.#priority[block] = 0;
      blocks.push(block);
    }
    return blocks;
  }

  /** How many of these consecutive hashes are registered, from the first on without a gap. */
  countMatch(hashes: BigUint64Array): number {
    let count = 0;
    while (count < hashes.length && this.#byHash.has(hashes[count]!)) count++;
    return count;
  }

  /** References the longest registered prefix of these consecutive hashes, and returns it. */
  match(hashes: BigUint64Array): number[] {
    const blocks: number[] = [];
    for (const hash of hashes) {
      const block = this.#byHash.get(hash);
      if (block === undefined) break;
      this.retain(block);
      blocks.push(block);
    }
    return blocks;
  }

  /** Adds a reference. */
  retain(block: number): void {
    assert(this.#state[block] !== RESET, "a block that holds nothing cannot be referenced");
    if (this.#references[block]!++ === 0) this.#countCached(block, -1);
  }

  /**
   * Takes a reference away. With the last one, a registered block becomes cache, most recently returned; any other is
   * reset. Release a sequence from its tail to its head, so that its leaves are the oldest. When more blocks of priority 0
   * are cached than may be, the first in the order of eviction go; a doomed one goes at once, or with the last that
   * follows it.
   */
  release(block: number): void {
    assert(this.#references[block]! > 0, "a block is released as often as it was referenced");
    if (--this.#references[block]! > 0) return;
    if (this.#state[block] !== REGISTERED) {
      this.#toReset(block);
      return;
    }
    this.#countCached(block, 1);
    if (this.#sweep(block)) return;
    this.#tick[block] = ++this.#ticks;
    this.#offer(block);
    this.#trim();
  }

  /** Every token of a partial block has been computed. */
  complete(block: number): void {
    assert(this.#state[block] === PARTIAL, "a partial block becomes complete");
    this.#state[block] = COMPLETE;
  }

  /**
   * Makes a complete block findable under its sequence hash. When another block has that hash already, this one loses
   * its reference and the other, the primary, gains one: the caller goes on with what is returned.
   * @param parent the registered block before it, or NO_BLOCK
   */
  register(block: number, hash: bigint, parent: number): number {
    assert(this.#state[block] === COMPLETE, "a complete block becomes registered");
    const primary = this.#byHash.get(hash);
    if (primary !== undefined) {
      this.retain(primary);
      this.release(block);
      return primary;
    }
    assert(parent === NO_BLOCK || this.#state[parent] === REGISTERED, "the parent is registered first");
    assert(parent === NO_BLOCK || this.#hidden[parent] === 0, "nothing follows what is hidden");
    this.#state[block] = REGISTERED;
    this.#hash[block] = hash;
    this.#parent[block] = parent;
    if (parent !== NO_BLOCK) {
      this.#children[parent]!++;
      this.#doomed[block] = this.#doomed[parent]!;
    }
    this.#byHash.set(hash, block);
    return block;
  }

  /** Higher stays longer; 0 is usual and every block starts with it. */
  setPriority(block: number, priority: number): void {
    assert(this.#state[block] !== RESET, "a block that holds nothing has no priority");
    const isCached = this.#references[block] === 0;
    if (isCached) this.#countCached(block, -1);
    this.#priority[block] = priority;
    if (!isCached) return;
    this.#countCached(block, 1);
    this.#tick[block] = ++this.#ticks;
    this.#offer(block);
    this.#trim();
  }

  /** Evicts one cached block that has no children. */
  evict(block: number): void {
    assert(this.#isLeaf(block), "a block is evicted when nobody references it and none follows it");
    const hash = this.#hash[block]!;
    const parent = this.#parent[block]!;
    const wasHidden = this.#hidden[block] === 1;
    this.#onEvict?.(block, hash, wasHidden);
    if (!wasHidden) this.#byHash.delete(hash);
    this.#countCached(block, -1);
    this.#toReset(block);
    if (parent === NO_BLOCK) return;
    this.#children[parent]!--;
    if (!this.#sweep(parent)) this.#offer(parent);
  }

  /** Evicts all that is cached; returns how many blocks that were. */
  clear(): number {
    const count = this.#cachedCount;
    for (let first = this.#order.pop(); first; first = this.#order.pop()) this.evict(first.block);
    assert(this.#cachedCount === 0, "all cached blocks can be evicted, leaves first");
    return count;
  }

  /** What is registered now, and what will follow it, is evicted as soon as nobody uses it. Nothing is cached now. */
  doom(): void {
    assert(this.#cachedCount === 0, "a pool is cleared before the rest is doomed");
    for (const block of this.#byHash.values()) this.#doomed[block] = 1;
  }

  /**
   * Takes the name of a registered block that is in use away: another block may have it from now on, and this one goes with
   * its last user. What follows it is hidden too, and nothing is registered behind it any more.
   */
  hide(block: number): void {
    assert(this.#state[block] === REGISTERED && this.#references[block]! > 0, "a block in use is hidden");
    assert(this.#hidden[block] === 0, "a block is hidden once");
    this.#hidden[block] = 1;
    this.#doomed[block] = 1;
    this.#byHash.delete(this.#hash[block]!);
  }

  /** Evicts a block that is doomed if nobody uses it and none follows it; returns whether it did. */
  #sweep(block: number): boolean {
    if (this.#doomed[block] === 0 || !this.#isLeaf(block)) return false;
    this.evict(block);
    return true;
  }

  #countCached(block: number, by: number): void {
    this.#cachedCount += by;
    if (this.#priority[block]! <= 0) this.#plainCount += by;
  }

  #trim(): void {
    while (this.#plainCount > this.#maxCached) {
      const first = this.#order.pop();
      if (!first) return;
      if (first.priority > 0) {
        this.#order.push(first);
        return;
      }
      this.evict(first.block);
    }
  }

  #isLeaf(block: number): boolean {
    return this.#state[block] === REGISTERED && this.#references[block] === 0 && this.#children[block] === 0;
  }

  #offer(block: number): void {
    if (!this.#isLeaf(block)) return;
    this.#order.push({ block, priority: this.#priority[block]!, tick: this.#tick[block]! });
  }

  #toReset(block: number): void {
    this.#state[block] = RESET;
    this.#doomed[block] = 0;
    this.#hidden[block] = 0;
    this.#parent[block] = NO_BLOCK;
    this.#reset[this.#resetCount++] = block;
  }
}
