import { assert } from "#lib/base/errors";
import type { BlockPool } from "#lib/kv/block-pool";
import type { KvSpace } from "./space.ts";

/** Codes of ops, five numbers each; the same as in the engine context's step plans. */
export const SLOT_OP = {
  /** `[copy, fromSlot, toSlot, p0, p1]`: toSlot shares the cells of fromSlot at positions p0 .. p1-1. */
  copy: 0,
  /** `[remove, slot, p0, p1, 0]`: forgets positions p0 .. p1-1; p1 = -1 means to the end. */
  remove: 1,
} as const;

const TO_THE_END = -1;

interface Slot {
  readonly number: number;
  /** Blocks by index; their cells are in the slot once all ops have run. */
  readonly blocks: number[];
  use: "free" | "running" | "holder";
  /** When it was used last, on the map's own count. */
  tick: number;
}

/** What a map of slots is made of. */
export interface SlotMapOptions {
  /** Numbered from 0. */
  readonly slots: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Whether every slot has cells of its own; default false: slots that hold the same block share its cells. */
  readonly ownCells?: boolean;
}

/**
 * Maps chains of blocks to sequence slots of an engine that keeps KV per slot (llama.cpp: cells that carry a set of
 * sequence ids). A slot always holds its blocks from index 0 on without a gap. When a sequence ends, its slot goes on
 * as holder of the registered ones; a later sequence shares them by a copy op, which moves no bytes. Every registered
 * block of the pool is in at least one slot, and every block has exactly one set of cells: so cells never run out
 * before blocks do. Where every slot has cells of its own a copy moves bytes, a block can lie in several slots, and a
 * slot never holds more than its cells.
 */
export class SlotMap implements KvSpace {
  readonly #slots: Slot[];
  readonly #free: Slot[] = [];
  /** Slots that hold a block, by block. */
  readonly #holders: Slot[][];
  readonly #blockTokens: number;
  readonly #pool: BlockPool;
  readonly #ownCells: boolean;
  #ops: number[] = [];
  #ticks = 0;

  /** `pool` must call this map's `evicted` for every block that it evicts. */
  constructor(pool: BlockPool, options: SlotMapOptions) {
    this.#pool = pool;
    this.#blockTokens = options.blockTokens;
    this.#ownCells = options.ownCells ?? false;
    this.#slots = Array.from({ length: options.slots }, (_, number) => ({ number, blocks: [], use: "free", tick: 0 }));
    this.#free = this.#slots.toReversed();
    this.#holders = Array.from({ length: pool.totalBlocks }, () => []);
  }

  /** Blocks of a slot by index. */
  blocks(slot: number): readonly number[] {
    return this.#slots[slot]!.blocks;
  }

  get freeSlots(): number {
    return this.#free.length;
  }

  get hasOps(): boolean {
    return this.#ops.length > 0;
  }

  slotOf(block: number): number {
    const slot = this.#holders[block]![0];
    assert(slot, "a registered block is in some slot");
    return slot.number;
  }

  begin(matched: readonly number[]): number | undefined {
    const slot = this.#takeOver(matched) ?? this.#openFree(matched) ?? this.#openByEviction(matched);
    if (!slot) return undefined;
    slot.use = "running";
    slot.tick = ++this.#ticks;
    return slot.number;
  }

  extend(slot: number, block: number): void {
    const to = this.#slots[slot]!;
    to.blocks.push(block);
    this.#holders[block]!.push(to);
  }

  replace(slot: number, index: number, block: number): void {
    const to = this.#slots[slot]!;
    const from = this.#holders[block]![0];
    assert(from && from !== to, "another slot holds the block that takes the place of a duplicate");
    this.#forget(to, to.blocks[index]!);
    // In cells of its own the slot has the same content already.
    if (!this.#ownCells) {
      this.#remove(to, index, index + 1);
      this.#copy(from, to, { from: index, to: index + 1 });
    }
    to.blocks[index] = block;
    this.#holders[block]!.push(to);
  }

  end(slot: number, registered: number): void {
    const from = this.#slots[slot]!;
    while (from.blocks.length > registered) this.#forget(from, from.blocks.pop()!);
    const last = from.blocks.at(-1);
    if (last === undefined || this.#holders[last]!.length > 1) {
      for (const block of from.blocks) this.#forget(from, block);
      from.blocks.length = 0;
      this.#remove(from, 0, TO_THE_END);
      this.#toFree(from);
      return;
    }
    this.#remove(from, registered, TO_THE_END);
    from.use = "holder";
    from.tick = ++this.#ticks;
  }

  evicted(block: number): void {
    for (const slot of this.#holders[block]!) {
      assert(slot.use === "holder" && slot.blocks.at(-1) === block, "an evicted block is the last one of a holder");
      slot.blocks.pop();
      this.#remove(slot, slot.blocks.length, TO_THE_END);
      if (slot.blocks.length === 0) this.#toFree(slot);
    }
    this.#holders[block] = [];
  }

  takeOps(): Int32Array {
    const ops = Int32Array.from(this.#ops);
    this.#ops = [];
    return ops;
  }

  returnOps(ops: Int32Array): void {
    this.#ops = [...ops, ...this.#ops];
  }

  /** A holder of exactly these blocks becomes the sequence's slot: nothing has to be done. */
  #takeOver(matched: readonly number[]): Slot | undefined {
    const last = matched.at(-1);
    if (last === undefined) return undefined;
    return this.#holders[last]!.find((slot) => slot.use === "holder" && slot.blocks.length === matched.length);
  }

  #openFree(matched: readonly number[]): Slot | undefined {
    const slot = this.#takeFree();
    const last = matched.at(-1);
    if (!slot || last === undefined) return slot;
    const from = this.#holders[last]![0];
    assert(from, "a registered block is in some slot");
    this.#copy(from, slot, { from: 0, to: matched.length });
    for (const block of matched) this.extend(slot.number, block);
    return slot;
  }

  /** Of cells of their own the engine computes those side by side whose slots follow each other: so the lowest goes first. */
  #takeFree(): Slot | undefined {
    if (!this.#ownCells) return this.#free.pop();
    let lowest = 0;
    for (let at = 1; at < this.#free.length; at++) {
      if (this.#free[at]!.number < this.#free[lowest]!.number) lowest = at;
    }
    return this.#free.splice(lowest, 1)[0];
  }

  /** Gives up the holder that was used least recently, of those that nobody needs. */
  #openByEviction(matched: readonly number[]): Slot | undefined {
    const holders = this.#slots.filter((slot) => slot.use === "holder").sort((left, right) => left.tick - right.tick);
    for (const holder of holders) {
      const kept = this.#needed(holder);
      if (kept === 0) {
        this.#shorten(holder, 0);
        return this.#openFree(matched);
      }
      // Only the sequence that begins needs it: the holder itself becomes its slot.
      const isOurs = kept <= matched.length && holder.blocks[matched.length - 1] === matched.at(-1);
      if (isOurs) {
        this.#shorten(holder, matched.length);
        return holder;
      }
    }
    return undefined;
  }

  /** Leading blocks of a holder that must stay: up to the last one that is in use and in no other slot. */
  #needed(holder: Slot): number {
    const isNeeded = (block: number) => this.#holders[block]!.length === 1 && this.#pool.references(block) > 0;
    return holder.blocks.findLastIndex(isNeeded) + 1;
  }

  #shorten(holder: Slot, length: number): void {
    while (holder.blocks.length > length) {
      const last = holder.blocks.at(-1)!;
      if (this.#holders[last]!.length === 1) {
        this.#pool.evict(last);
        continue;
      }
      holder.blocks.pop();
      this.#forget(holder, last);
      this.#remove(holder, holder.blocks.length, TO_THE_END);
      if (holder.blocks.length === 0) this.#toFree(holder);
    }
  }

  #toFree(slot: Slot): void {
    slot.use = "free";
    this.#free.push(slot);
  }

  #forget(slot: Slot, block: number): void {
    const holders = this.#holders[block]!;
    holders.splice(holders.indexOf(slot), 1);
  }

  #copy(from: Slot, to: Slot, blocks: { from: number; to: number }): void {
    const width = this.#blockTokens;
    this.#ops.push(SLOT_OP.copy, from.number, to.number, blocks.from * width, blocks.to * width);
  }

  #remove(slot: Slot, from: number, to: number): void {
    const start = from * this.#blockTokens;
    const end = to === TO_THE_END ? TO_THE_END : to * this.#blockTokens;
    // Blocks of a slot are evicted one by one from its end, and an engine looks at all its cells for each op.
    const [kind, number, before, last] = this.#ops.slice(-5);
    const goesOn = kind === SLOT_OP.remove && number === slot.number && last === TO_THE_END && before! >= start;
    if (goesOn && end === TO_THE_END) this.#ops[this.#ops.length - 3] = start;
    else this.#ops.push(SLOT_OP.remove, slot.number, start, end, 0);
  }
}
