import { KV_TIERS } from "#lib/kv/event";
import { BlockArena, MAX_STRETCH } from "./block-arena.ts";
import { BlockNames } from "./block-names.ts";
import {
  dealOut,
  laneEnd,
  laneOf,
  lastCovered,
  mayHave,
  shortened,
  splitPlace,
  stretchFrom,
  uncover,
} from "./coverage.ts";
import { Expectations } from "./expectations.ts";
import {
  DATA,
  END_KIDS,
  FULL,
  HEAD,
  LENGTH,
  MAX_PARTS,
  PARENT,
  PARTS,
  ROOM,
  ROOT,
  RunTable,
  START,
  TICK,
} from "./run-table.ts";

/** Of what the largest holder has, this share leaves at a time when there is no room. */
const EVICTED_SHARE = 1 / 16;

/** Headers that are kept free, since a change may split runs. */
const SPARE_RUNS = 64;

/**
 * Who holds what: the parts of an index together, with counts by holder and a budget. It takes away; what is added is
 * the index's own, which says so to `count`.
 */
export class Holdings {
  readonly arena = new BlockArena();
  readonly runs = new RunTable(this.arena);
  readonly names = new BlockNames(this.arena, this.runs);
  readonly expectations = new Expectations(this.runs);
  /** Entries by tier and slot. */
  held: readonly Uint32Array[] = KV_TIERS.map(() => new Uint32Array(0));
  /** By slot, entries in all tiers but the first. */
  lower = new Uint32Array(0);
  /** The same over all slots. */
  lowerEntries = 0;
  /** By slot, entries that the budget took since it came or was cleared. */
  lost = new Float64Array(0);
  /** Over all slots and tiers. */
  entries = 0;
  /** Entries that the budget took from anybody so far. */
  evicted = 0;
  /** Operations so far; wraps. */
  tick = 0;
  readonly #budgetBytes: number;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
    this.#growArena(MAX_STRETCH);
    this.runs.grow(4 * SPARE_RUNS);
    this.widen(32);
  }

  get bytes(): number {
    const bySlot = this.lost.byteLength * 4;
    return this.arena.bytes + this.runs.bytes + this.names.bytes + this.expectations.bytes + bySlot;
  }

  /** Slots below this may hold something. */
  widen(slots: number): void {
    for (const tier of KV_TIERS.keys()) if (this.runs.planes[tier]! >= 0) this.runs.widen(slots, tier);
    const larger = (old: Uint32Array) => {
      const counts = new Uint32Array(slots);
      counts.set(old);
      return counts;
    };
    this.held = this.held.map(larger);
    this.lower = larger(this.lower);
    const lost = new Float64Array(slots);
    lost.set(this.lost);
    this.lost = lost;
    this.expectations.widen(slots);
  }

  /** A slot has more entries in a tier, or fewer. */
  count(slot: number, tier: number, more: number): void {
    this.held[tier]![slot]! += more;
    this.entries += more;
    if (tier === 0) return;
    this.lower[slot]! += more;
    this.lowerEntries += more;
  }

  /** The budget took entries of a slot. */
  countLost(slot: number, entries: number): void {
    this.lost[slot]! += entries;
    this.evicted += entries;
  }

  /** A run was used, and with it all that it goes on from. */
  touch(touched: number): void {
    const { head } = this.runs;
    for (let run = touched; run !== ROOT && head[run * HEAD + TICK] !== this.tick; run = head[run * HEAD + PARENT]!) {
      head[run * HEAD + TICK] = this.tick;
    }
  }

  /** A lane has these blocks no more; counts. The caller tidies the run. */
  uncover(run: number, lane: number, from: number, to: number): number {
    const slot = lane & 0xffff;
    if (this.runs.planes[lane >> 16]! < 0) return 0;
    const removed = uncover(this.runs, run, lane, from, to);
    if (removed === 0) return 0;
    this.count(slot, lane >> 16, -removed);
    if (this.names.isForeign(slot)) this.#dropNames(run, slot, from, to);
    return removed;
  }

  #dropNames(run: number, slot: number, from: number, to: number): void {
    const data = this.runs.head[run * HEAD + DATA]!;
    for (let block = from; block < to; block++) {
      const isHeld = KV_TIERS.some((_, tier) => stretchFrom(this.runs, run, laneOf(tier, slot), block) > 0);
      if (!isHeld) this.names.dropForeign(slot, data + block);
    }
  }

  /** A slot has nothing any more, told or expected; returns the entries that it was told to have. */
  clear(slot: number): number {
    const { length } = KV_TIERS;
    let removed = 0;
    if (this.load(slot) > 0) {
      for (let run = 1; run < this.runs.end; run++) {
        const blocks = this.runs.head[run * HEAD + LENGTH]!;
        if (blocks === 0 || !mayHave(this.runs, run, slot)) continue;
        let gone = this.expectations.cut(run, slot, 0);
        for (let tier = 0; tier < length; tier++) {
          const had = this.uncover(run, laneOf(tier, slot), 0, blocks);
          removed += had;
          gone += had;
        }
        if (gone > 0) this.prune(run);
      }
    }
    this.names.dropSlot(slot);
    this.lost[slot] = 0;
    return removed;
  }

  /** What a slot takes, told and expected. */
  load(slot: number): number {
    return this.held[0]![slot]! + this.lower[slot]! + this.expectations.count[slot]!;
  }

  /** After somebody has less of a run. */
  tidy(run: number): void {
    this.prune(run);
    if (this.runs.head[run * HEAD + LENGTH]! > 0) this.settle(run);
  }

  /** Splits a run until no header has too many stretches. */
  settle(run: number): void {
    while (this.runs.head[run * HEAD + PARTS]! > MAX_PARTS) {
      const at = splitPlace(this.runs, run);
      const rest = this.runs.split(run, at);
      dealOut(this.runs, run, rest, at);
      this.expectations.dealOut(run, rest, at);
      this.settle(rest);
    }
  }

  /** Frees the blocks at the end of a run that nobody has and from which nothing goes on; then perhaps of those before it. */
  prune(pruned: number): void {
    const { head } = this.runs;
    for (let run = pruned; run !== ROOT; ) {
      const base = run * HEAD;
      const length = head[base + LENGTH]!;
      if (head[base + FULL]! > 0 || head[base + END_KIDS]! > 0) return;
      const told = Math.max(lastCovered(this.runs, run), this.expectations.lastExpected(run));
      const end = told === length ? length : Math.max(told, this.runs.lastKid(run));
      if (end === length) return;
      const data = head[base + DATA]!;
      const room = end === 0 ? 0 : Math.min(head[base + ROOM]!, ((data + end + 7) & ~7) - data);
      this.names.forget(data + end, data + length);
      this.arena.give(data + room, data + head[base + ROOM]!);
      head[base + ROOM] = room;
      head[base + LENGTH] = end;
      if (end > 0) {
        this.runs.countEndKids(run);
        shortened(this.runs, run);
        return;
      }
      const parent = head[base + PARENT]!;
      this.runs.remove(run);
      run = parent;
    }
  }

  #growArena(capacity: number): void {
    this.arena.grow(capacity);
    this.names.reserve(capacity);
  }

  /** Makes sure that as many blocks can be stored: by growing as far as the budget goes, then by evicting. */
  makeRoom(blocks: number): void {
    // Stretches may be twice as long as what they are for.
    const wanted = 2 * blocks + MAX_STRETCH;
    while (this.arena.freeBlocks < wanted) if (!this.#growBlocks(wanted)) break;
    const least = Math.min(wanted, this.arena.capacity >> 2);
    while (this.arena.freeBlocks < least) if (!this.#evict()) break;
    while (this.runs.freeRuns < SPARE_RUNS) if (!this.#growRuns() && !this.#evict()) break;
    while (!this.expectations.hasRoom && this.bytes + this.expectations.nextGrowthBytes > this.#budgetBytes) {
      if (!this.#evict()) break;
    }
  }

  #growBlocks(wanted: number): boolean {
    const { capacity } = this.arena;
    const least = Math.ceil(wanted / MAX_STRETCH) * MAX_STRETCH;
    for (const share of [0.5, 0.25, 0.1, 0.05, 0]) {
      const larger = capacity + Math.max(least, Math.floor((capacity * share) / MAX_STRETCH) * MAX_STRETCH);
      const more = BlockArena.bytesFor(larger) - this.arena.bytes + this.names.bytesToReserve(larger);
      if (this.bytes + more > this.#budgetBytes) continue;
      this.#growArena(larger);
      return true;
    }
    return false;
  }

  #growRuns(): boolean {
    const { capacity } = this.runs;
    for (const share of [0.5, 0.1]) {
      const larger = capacity + Math.max(SPARE_RUNS, Math.floor(capacity * share));
      if (this.bytes + this.runs.bytesFor(larger) - this.runs.bytes > this.#budgetBytes) continue;
      this.runs.grow(larger);
      return true;
    }
    return false;
  }

  /** Takes from the slot that has most what was used least recently; false when nobody has anything. */
  #evict(): boolean {
    let victim = 0;
    for (let slot = 1; slot < this.lost.length; slot++) if (this.load(slot) > this.load(victim)) victim = slot;
    const load = this.load(victim);
    if (load === 0) return false;
    const { head } = this.runs;
    const age = (run: number) => (this.tick - head[run * HEAD + TICK]!) >>> 0;
    const runs: number[] = [];
    for (let run = 1; run < this.runs.end; run++) {
      if (head[run * HEAD + LENGTH]! === 0 || !mayHave(this.runs, run, victim)) continue;
      if (this.#endOf(run, victim) > 0) runs.push(run);
    }
    // Of those that were used at the same time the deepest goes first: what is before it is of no less use.
    runs.sort((left, right) => age(right) - age(left) || head[right * HEAD + START]! - head[left * HEAD + START]!);
    let left = Math.ceil(load * EVICTED_SHARE);
    for (const run of runs) {
      left -= this.#takeFrom(run, victim, left);
      if (left <= 0) break;
    }
    return true;
  }

  /** Behind the last block of a run that a slot has or is expected to have. */
  #endOf(run: number, slot: number): number {
    let end = this.expectations.reach(run, slot);
    for (let tier = 0; tier < KV_TIERS.length; tier++) end = Math.max(end, laneEnd(this.runs, run, laneOf(tier, slot)));
    return end;
  }

  /** Takes the last blocks of a run away from a slot, about as many entries as wanted. */
  #takeFrom(run: number, slot: number, wanted: number): number {
    const end = this.#endOf(run, slot);
    const from = Math.max(0, end - wanted);
    let taken = this.expectations.cut(run, slot, from);
    for (let tier = 0; tier < KV_TIERS.length; tier++) taken += this.uncover(run, laneOf(tier, slot), from, end);
    this.countLost(slot, taken);
    this.tidy(run);
    return taken;
  }
}
