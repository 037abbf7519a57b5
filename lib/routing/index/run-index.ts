import { assert } from "#lib/base/errors";
import { KV_TIERS, type KvApplied, type KvChange, type KvStored, type KvTier } from "#lib/kv/event";
import { BlockArena, MAX_STRETCH } from "./block-arena.ts";
import { BlockNames, type NameList, nameList } from "./block-names.ts";
import {
  cover,
  dealOut,
  hasAll,
  laneEnd,
  laneOf,
  lastCovered,
  shortened,
  splitPlace,
  stretchFrom,
  uncover,
} from "./coverage.ts";
import { dumpHolder } from "./dump.ts";
import { Expectations } from "./expectations.ts";
import type { Overlaps, PrefixIndex, PromptBlocks } from "./prefix-index.ts";
import {
  DATA,
  END_KIDS,
  EXPECTED,
  FOREIGN,
  FULL,
  HEAD,
  KIDS,
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
import { equalHashes, HashView, Walk } from "./walk.ts";

/** Holders that there may be at once. */
export const MAX_HOLDERS = 65_536;

/** The least memory that an index can be given. */
export const MIN_BUDGET_BYTES = 1 << 20;

/** Of what the largest holder has, this share leaves at a time when there is no room. */
const EVICTED_SHARE = 1 / 16;

/** Headers that are kept free, since a change may split runs. */
const SPARE_RUNS = 64;

const NOTHING: KvApplied = { stored: 0, removed: 0, absent: 0, parentUnknown: false };

/** What a budget may be. */
export interface RunIndexOptions {
  /** Most memory in bytes, at least MIN_BUDGET_BYTES. Tables grow up to it, and do not shrink. */
  readonly budgetBytes: number;
}

/**
 * The index in TypeScript, over a few typed arrays: runs of blocks, walked by content hash. Storing and removing cost
 * about as much as a probe of the table of names per block, a match as much as comparing the hashes of what matches.
 */
export class RunIndex implements PrefixIndex {
  readonly #budgetBytes: number;
  readonly #arena = new BlockArena();
  readonly #runs = new RunTable(this.#arena);
  readonly #names = new BlockNames(this.#arena, this.#runs);
  readonly #expectations = new Expectations(this.#runs);
  readonly #walk = new Walk(this.#arena, this.#runs, this.#expectations);
  readonly #view = new HashView();
  /** By tier and slot. */
  #held: readonly Uint32Array[] = KV_TIERS.map(() => new Uint32Array(0));
  /** By slot, entries in all tiers but the first. */
  #lower = new Uint32Array(0);
  #lowerEntries = 0;
  #lost = new Float64Array(0);
  readonly #freeSlots: number[] = [];
  #slots = 0;
  #entries = 0;
  #evicted = 0;
  #tick = 0;

  constructor(options: RunIndexOptions) {
    assert(options.budgetBytes >= MIN_BUDGET_BYTES, "an index has room for something");
    this.#budgetBytes = options.budgetBytes;
    this.#growArena(MAX_STRETCH);
    this.#runs.grow(4 * SPARE_RUNS);
    this.#widen(32);
  }

  get entries(): number {
    return this.#entries;
  }

  get expected(): number {
    return this.#expectations.total;
  }

  get evicted(): number {
    return this.#evicted;
  }

  get bytes(): number {
    const bySlot = this.#lost.byteLength * 4;
    return this.#arena.bytes + this.#runs.bytes + this.#names.bytes + this.#expectations.bytes + bySlot;
  }

  /** What is known of blocks, whoever holds them: positions that are taken, and runs. */
  get known(): { readonly blocks: number; readonly runs: number } {
    const blocks = this.#arena.capacity - this.#arena.freeBlocks;
    return { blocks, runs: this.#runs.capacity - this.#runs.freeRuns - 1 };
  }

  get slots(): number {
    return this.#slots;
  }

  join(): number {
    const free = this.#freeSlots.pop();
    if (free !== undefined) return free;
    assert(this.#slots < MAX_HOLDERS, "an index has at most 65,536 holders");
    if (this.#slots === this.#lost.length) this.#widen(this.#slots * 2);
    return this.#slots++;
  }

  leave(slot: number): void {
    this.#clear(slot);
    this.#freeSlots.push(slot);
  }

  held(slot: number, tier: KvTier): number {
    return this.#held[KV_TIERS.indexOf(tier)]![slot]!;
  }

  lost(slot: number): number {
    return this.#lost[slot]!;
  }

  apply(slot: number, change: KvChange): KvApplied {
    switch (change.kind) {
      case "stored":
        return change.group === 0 ? this.#store(slot, change) : NOTHING;
      case "removed":
        return change.group === 0
          ? this.#remove(slot, KV_TIERS.indexOf(change.tier), nameList(change.hashes))
          : NOTHING;
      case "cleared":
        return { ...NOTHING, removed: this.#clear(slot) };
    }
  }

  expect(slot: number, prompt: PromptBlocks, untilMs: number): void {
    const { length } = prompt;
    if (length === 0) return;
    this.#tick = (this.#tick + 1) | 0;
    const view = this.#view;
    view.look(prompt.contents(length));
    this.#makeRoom(length);
    let run = ROOT;
    let at = 0;
    for (let block = 0; block < length; ) {
      const { head } = this.#runs;
      const kid = this.#runs.find(run, at, view.words[block * 2]!, view.words[block * 2 + 1]!);
      if (kid >= 0) {
        const data = head[kid * HEAD + DATA]!;
        const most = Math.min(head[kid * HEAD + LENGTH]!, length - block);
        run = kid;
        at = equalHashes(this.#arena, data, view, block, most);
        block += at;
        if (block < length && at === head[kid * HEAD + LENGTH]) {
          const more = this.#canGrow(run, slot, -1) ? this.#append(run, view, block, length) : 0;
          at += more;
          block += more;
        }
      } else {
        const created = this.#create(run, at, view, block, length);
        if (created < 0) {
          this.#countLost(slot, length - block);
          break;
        }
        run = created;
        at = this.#runs.head[run * HEAD + LENGTH]!;
        block += at;
      }
      this.#expectations.say(run, slot, at, untilMs);
    }
    view.close();
    this.#touch(run);
  }

  expire(nowMs: number): void {
    this.#expectations.expire(nowMs, (run) => this.#prune(run));
  }

  match(prompt: PromptBlocks, into: Overlaps): void {
    assert(into.device.length >= this.#slots, "an answer has room for all slots");
    this.#tick = (this.#tick + 1) | 0;
    this.#walk.match(prompt, into, this.#slots, this.#lowerEntries > 0 ? this.#lower : undefined, this.#tick);
  }

  dump(slot: number): Iterable<KvChange> {
    return dumpHolder({ arena: this.#arena, runs: this.#runs, names: this.#names }, slot);
  }

  #widen(slots: number): void {
    for (const tier of KV_TIERS.keys()) if (this.#runs.planes[tier]! >= 0) this.#runs.widen(slots, tier);
    const larger = (old: Uint32Array) => {
      const counts = new Uint32Array(slots);
      counts.set(old);
      return counts;
    };
    this.#held = this.#held.map(larger);
    this.#lower = larger(this.#lower);
    const lost = new Float64Array(slots);
    lost.set(this.#lost);
    this.#lost = lost;
    this.#expectations.widen(slots);
    this.#walk.widen(slots);
  }

  #count(slot: number, tier: number, more: number): void {
    this.#held[tier]![slot]! += more;
    this.#entries += more;
    if (tier === 0) return;
    this.#lower[slot]! += more;
    this.#lowerEntries += more;
  }

  #countLost(slot: number, entries: number): void {
    this.#lost[slot]! += entries;
    this.#evicted += entries;
  }

  /** A run was used, and with it all that it goes on from. */
  #touch(touched: number): void {
    const { head } = this.#runs;
    for (let run = touched; run !== ROOT && head[run * HEAD + TICK] !== this.#tick; run = head[run * HEAD + PARENT]!) {
      head[run * HEAD + TICK] = this.#tick;
    }
  }

  #store(slot: number, change: KvStored): KvApplied {
    const tier = KV_TIERS.indexOf(change.tier);
    const lane = laneOf(tier, slot);
    const names = nameList(change.hashes);
    const count = change.hashes.length;
    if (this.#runs.planes[tier]! < 0) this.#runs.widen(this.#lost.length, tier);
    this.#tick = (this.#tick + 1) | 0;
    const parent = change.parent === undefined ? undefined : nameList(BigUint64Array.of(change.parent));
    const before = parent ? this.#names.find(slot, parent, 0) : -1;
    if (before >= 0) this.#touch(this.#arena.owner[before]!);
    this.#makeRoom(count);
    const last = parent ? this.#names.find(slot, parent, 0) : -1;
    if (parent && last < 0) {
      if (this.#lost[slot] === 0) return { ...NOTHING, parentUnknown: true };
      this.#countLost(slot, count);
      return NOTHING;
    }
    const view = this.#view;
    view.look(change.contents);
    const stored = this.#storeBehind(last, { slot, lane, names, view, count });
    view.close();
    this.#count(slot, tier, stored);
    return { ...NOTHING, stored };
  }

  /** Goes along what is known, and adds what is not. */
  #storeBehind(last: number, told: Told): number {
    const { slot, lane, view, count } = told;
    const { owner } = this.#arena;
    let run = last < 0 ? ROOT : owner[last]!;
    let at = last < 0 ? 0 : last - this.#runs.head[run * HEAD + DATA]! + 1;
    let stored = 0;
    for (let block = 0; block < count; ) {
      const { head } = this.#runs;
      const data = head[run * HEAD + DATA]!;
      const length = head[run * HEAD + LENGTH]!;
      const same = equalHashes(this.#arena, data + at, view, block, Math.min(length - at, count - block));
      if (same > 0) {
        for (let each = 0; each < same; each++) this.#names.give(slot, told.names, block + each, data + at + each);
        stored += cover(this.#runs, run, lane, at, at + same);
        this.#settle(run);
        const position = data + at + same - 1;
        run = owner[position]!;
        at = position - this.#runs.head[run * HEAD + DATA]! + 1;
        block += same;
        continue;
      }
      if (at === length && this.#canGrow(run, slot, lane)) {
        const more = this.#append(run, view, block, count);
        this.#nameNew(told, block, run, at, more);
        if (more > 0) {
          stored += more;
          block += more;
          at += more;
          continue;
        }
      }
      const kid = this.#runs.find(run, at, view.words[block * 2]!, view.words[block * 2 + 1]!);
      if (kid >= 0) {
        run = kid;
        at = 0;
        continue;
      }
      const created = this.#create(run, at, view, block, count);
      if (created < 0) {
        this.#countLost(slot, count - block);
        break;
      }
      run = created;
      at = this.#runs.head[run * HEAD + LENGTH]!;
      cover(this.#runs, run, lane, 0, at);
      this.#nameNew(told, block, run, 0, at);
      stored += at;
      block += at;
    }
    this.#touch(run);
    return stored;
  }

  #nameNew(told: Told, block: number, run: number, at: number, count: number): void {
    const position = this.#runs.head[run * HEAD + DATA]! + at;
    for (let each = 0; each < count; each++) this.#names.give(told.slot, told.names, block + each, position + each);
  }

  /** Whether blocks can be added at the end of a run: nothing goes on from it, and nobody has it but a slot. */
  #canGrow(run: number, slot: number, lane: number): boolean {
    const { head } = this.#runs;
    const base = run * HEAD;
    if (run === ROOT || head[base + KIDS] !== 0 || head[base + PARTS] !== 0) return false;
    if (head[base + LENGTH] === MAX_STRETCH) return false;
    if (lane >= 0) return head[base + EXPECTED] === 0 && head[base + FULL] === 1 && hasAll(this.#runs, run, lane);
    return head[base + FULL] === 0 && this.#expectations.isOf(run, slot);
  }

  /** Adds blocks of a list to the end of a run, as many as there is room for; returns how many. */
  #append(run: number, view: HashView, from: number, to: number): number {
    const { head } = this.#runs;
    const base = run * HEAD;
    const length = head[base + LENGTH]!;
    const wanted = Math.min(MAX_STRETCH, length + to - from);
    if (wanted > head[base + ROOM]!) this.#moveTo(run, wanted);
    const more = Math.min(wanted, head[base + ROOM]!) - length;
    this.#write(head[base + DATA]! + length, run, view, from, more);
    head[base + LENGTH] = length + more;
    return more;
  }

  /** Finds a run more room, where there is some and its blocks may move. */
  #moveTo(run: number, wanted: number): void {
    const { head } = this.#runs;
    const base = run * HEAD;
    if (head[base + FOREIGN] !== 0) return;
    const length = head[base + LENGTH]!;
    const room = head[base + ROOM]!;
    const data = this.#arena.take(wanted);
    if (data < 0) return;
    const { taken } = this.#arena;
    if (taken <= room) {
      this.#arena.give(data, data + taken);
      return;
    }
    const old = head[base + DATA]!;
    this.#arena.contentHashes.copyWithin(data, old, old + length);
    this.#arena.owner.fill(run, data, data + length);
    this.#names.move(run, data);
    this.#arena.give(old, old + room);
    head[base + DATA] = data;
    head[base + ROOM] = taken;
  }

  /** Makes a run of blocks of a list, as many as there is room for; -1 where there is none. */
  #create(parent: number, at: number, view: HashView, from: number, to: number): number {
    const data = this.#arena.take(to - from);
    if (data < 0) return -1;
    const room = this.#arena.taken;
    const length = Math.min(room, to - from);
    this.#write(data, 0, view, from, length);
    const run = this.#runs.create(parent, at, data, length, room);
    this.#arena.owner.fill(run, data, data + length);
    return run;
  }

  #write(position: number, run: number, view: HashView, from: number, count: number): void {
    const { contentWords, owner } = this.#arena;
    const { words } = view;
    for (let each = 0; each < count; each++) {
      contentWords[(position + each) * 2] = words[(from + each) * 2]!;
      contentWords[(position + each) * 2 + 1] = words[(from + each) * 2 + 1]!;
      owner[position + each] = run;
    }
  }

  #remove(slot: number, tier: number, names: NameList): KvApplied {
    const lane = laneOf(tier, slot);
    const { words } = names;
    const count = names.hashes.length;
    let removed = 0;
    let absent = 0;
    for (let at = 0; at < count; ) {
      const position = this.#names.find(slot, names, at);
      if (position < 0) {
        absent++;
        at++;
        continue;
      }
      const { nameWords, owner } = this.#arena;
      const run = owner[position]!;
      const data = this.#runs.head[run * HEAD + DATA]!;
      const length = this.#runs.head[run * HEAD + LENGTH]!;
      const isNamed = (place: number, index: number) =>
        nameWords[place * 2] === words[index * 2] && nameWords[place * 2 + 1] === words[index * 2 + 1];
      let [first, last, end] = [position, position, at + 1];
      // Engines remove from the end of a sequence on, or from its beginning: names lie side by side, no further probe.
      if (!this.#names.isForeign(slot)) {
        while (end < count && first > data && isNamed(first - 1, end)) [first, end] = [first - 1, end + 1];
        if (first === last) {
          while (end < count && last + 1 < data + length && isNamed(last + 1, end)) [last, end] = [last + 1, end + 1];
        }
      }
      const had = this.#uncover(run, lane, first - data, last + 1 - data);
      removed += had;
      absent += end - at - had;
      this.#tidy(run);
      at = end;
    }
    return { ...NOTHING, removed, absent };
  }

  /** A lane has these blocks no more; counts. The caller tidies the run. */
  #uncover(run: number, lane: number, from: number, to: number): number {
    const slot = lane & 0xffff;
    if (this.#runs.planes[lane >> 16]! < 0) return 0;
    const removed = uncover(this.#runs, run, lane, from, to);
    if (removed === 0) return 0;
    this.#count(slot, lane >> 16, -removed);
    if (this.#names.isForeign(slot)) this.#dropNames(run, slot, from, to);
    return removed;
  }

  #dropNames(run: number, slot: number, from: number, to: number): void {
    const data = this.#runs.head[run * HEAD + DATA]!;
    for (let block = from; block < to; block++) {
      const isHeld = KV_TIERS.some((_, tier) => stretchFrom(this.#runs, run, laneOf(tier, slot), block) > 0);
      if (!isHeld) this.#names.dropForeign(slot, data + block);
    }
  }

  #clear(slot: number): number {
    const { length } = KV_TIERS;
    let removed = 0;
    if (this.#load(slot) > 0) {
      for (let run = 1; run < this.#runs.end; run++) {
        const blocks = this.#runs.head[run * HEAD + LENGTH]!;
        if (blocks === 0) continue;
        let gone = this.#expectations.cut(run, slot, 0);
        for (let tier = 0; tier < length; tier++) {
          const had = this.#uncover(run, laneOf(tier, slot), 0, blocks);
          removed += had;
          gone += had;
        }
        if (gone > 0) this.#prune(run);
      }
    }
    this.#names.dropSlot(slot);
    this.#lost[slot] = 0;
    return removed;
  }

  /** What a slot takes, told and expected. */
  #load(slot: number): number {
    return this.#held[0]![slot]! + this.#lower[slot]! + this.#expectations.count[slot]!;
  }

  /** After somebody has less of a run. */
  #tidy(run: number): void {
    this.#prune(run);
    if (this.#runs.head[run * HEAD + LENGTH]! > 0) this.#settle(run);
  }

  /** Splits a run until no header has too many stretches. */
  #settle(run: number): void {
    while (this.#runs.head[run * HEAD + PARTS]! > MAX_PARTS) {
      const at = splitPlace(this.#runs, run);
      const rest = this.#runs.split(run, at);
      dealOut(this.#runs, run, rest, at);
      this.#expectations.dealOut(run, rest, at);
      this.#settle(rest);
    }
  }

  /** Frees the blocks at the end of a run that nobody has and from which nothing goes on; then perhaps of those before it. */
  #prune(pruned: number): void {
    const { head } = this.#runs;
    for (let run = pruned; run !== ROOT; ) {
      const base = run * HEAD;
      const length = head[base + LENGTH]!;
      if (head[base + FULL]! > 0 || head[base + END_KIDS]! > 0) return;
      const told = Math.max(lastCovered(this.#runs, run), this.#expectations.lastExpected(run));
      const end = told === length ? length : Math.max(told, this.#runs.lastKid(run));
      if (end === length) return;
      const data = head[base + DATA]!;
      const room = end === 0 ? 0 : Math.min(head[base + ROOM]!, ((data + end + 7) & ~7) - data);
      this.#names.forget(data + end, data + length);
      this.#arena.give(data + room, data + head[base + ROOM]!);
      head[base + ROOM] = room;
      head[base + LENGTH] = end;
      if (end > 0) {
        this.#runs.countEndKids(run);
        shortened(this.#runs, run);
        return;
      }
      const parent = head[base + PARENT]!;
      this.#runs.remove(run);
      run = parent;
    }
  }

  #growArena(capacity: number): void {
    this.#arena.grow(capacity);
    this.#names.reserve(capacity);
  }

  /** Makes sure that as many blocks can be stored: by growing as far as the budget goes, then by evicting. */
  #makeRoom(blocks: number): void {
    // Stretches may be twice as long as what they are for.
    const wanted = 2 * blocks + MAX_STRETCH;
    while (this.#arena.freeBlocks < wanted) if (!this.#growBlocks(wanted)) break;
    const least = Math.min(wanted, this.#arena.capacity >> 2);
    while (this.#arena.freeBlocks < least) if (!this.#evict()) break;
    while (this.#runs.freeRuns < SPARE_RUNS) if (!this.#growRuns() && !this.#evict()) break;
    while (!this.#expectations.hasRoom && this.bytes + this.#expectations.nextGrowthBytes > this.#budgetBytes) {
      if (!this.#evict()) break;
    }
  }

  #growBlocks(wanted: number): boolean {
    const { capacity } = this.#arena;
    const least = Math.ceil(wanted / MAX_STRETCH) * MAX_STRETCH;
    for (const share of [0.5, 0.25, 0.1, 0.05, 0]) {
      const larger = capacity + Math.max(least, Math.floor((capacity * share) / MAX_STRETCH) * MAX_STRETCH);
      const more = BlockArena.bytesFor(larger) - this.#arena.bytes + this.#names.bytesToReserve(larger);
      if (this.bytes + more > this.#budgetBytes) continue;
      this.#growArena(larger);
      return true;
    }
    return false;
  }

  #growRuns(): boolean {
    const { capacity } = this.#runs;
    for (const share of [0.5, 0.1]) {
      const larger = capacity + Math.max(SPARE_RUNS, Math.floor(capacity * share));
      if (this.bytes + this.#runs.bytesFor(larger) - this.#runs.bytes > this.#budgetBytes) continue;
      this.#runs.grow(larger);
      return true;
    }
    return false;
  }

  /** Takes from the slot that has most what was used least recently; false when nobody has anything. */
  #evict(): boolean {
    let victim = 0;
    for (let slot = 1; slot < this.#slots; slot++) if (this.#load(slot) > this.#load(victim)) victim = slot;
    const load = this.#load(victim);
    if (load === 0) return false;
    const { head } = this.#runs;
    const age = (run: number) => (this.#tick - head[run * HEAD + TICK]!) >>> 0;
    const runs: number[] = [];
    for (let run = 1; run < this.#runs.end; run++) {
      if (head[run * HEAD + LENGTH]! > 0 && this.#endOf(run, victim) > 0) runs.push(run);
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
    let end = this.#expectations.reach(run, slot);
    for (let tier = 0; tier < KV_TIERS.length; tier++)
      end = Math.max(end, laneEnd(this.#runs, run, laneOf(tier, slot)));
    return end;
  }

  /** Takes the last blocks of a run away from a slot, about as many entries as wanted. */
  #takeFrom(run: number, slot: number, wanted: number): number {
    const end = this.#endOf(run, slot);
    const from = Math.max(0, end - wanted);
    let taken = this.#expectations.cut(run, slot, from);
    for (let tier = 0; tier < KV_TIERS.length; tier++) taken += this.#uncover(run, laneOf(tier, slot), from, end);
    this.#countLost(slot, taken);
    this.#tidy(run);
    return taken;
  }
}

/** Blocks that were told of, as they are stored. */
interface Told {
  readonly slot: number;
  readonly lane: number;
  readonly names: NameList;
  readonly view: HashView;
  readonly count: number;
}
