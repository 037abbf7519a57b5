import { assert } from "#lib/base/errors";
import { KV_TIERS, type KvApplied, type KvChange, type KvStored, type KvTier } from "#lib/kv/event";
import { type BlockArena, MAX_STRETCH } from "./block-arena.ts";
import { type BlockNames, type NameList, nameList } from "./block-names.ts";
import { BlockWriter } from "./block-writer.ts";
import { cover, hasAll, laneOf } from "./coverage.ts";
import { dumpHolder } from "./dump.ts";
import type { Expectations } from "./expectations.ts";
import { Holdings } from "./holdings.ts";
import type { Overlaps, PrefixIndex, PromptBlocks } from "./prefix-index.ts";
import { DATA, EXPECTED, FULL, HEAD, KIDS, LENGTH, PARTS, ROOT, type RunTable } from "./run-table.ts";
import { equalHashes, HashView, Walk } from "./walk.ts";

/** Holders that there may be at once. */
export const MAX_HOLDERS = 65_536;

/** The least memory that an index can be given. */
export const MIN_BUDGET_BYTES = 1 << 20;

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
  readonly #holdings: Holdings;
  readonly #arena: BlockArena;
  readonly #runs: RunTable;
  readonly #names: BlockNames;
  readonly #expectations: Expectations;
  readonly #writer: BlockWriter;
  readonly #walk: Walk;
  readonly #view = new HashView();
  readonly #freeSlots: number[] = [];
  #slots = 0;

  constructor(options: RunIndexOptions) {
    assert(options.budgetBytes >= MIN_BUDGET_BYTES, "an index has room for something");
    this.#holdings = new Holdings(options.budgetBytes);
    const { arena, runs, names, expectations } = this.#holdings;
    this.#arena = arena;
    this.#runs = runs;
    this.#names = names;
    this.#expectations = expectations;
    this.#writer = new BlockWriter(this.#holdings);
    this.#walk = new Walk(arena, runs, expectations);
    this.#walk.widen(this.#holdings.lost.length);
  }

  get entries(): number {
    return this.#holdings.entries;
  }

  get expected(): number {
    return this.#expectations.total;
  }

  get evicted(): number {
    return this.#holdings.evicted;
  }

  get bytes(): number {
    return this.#holdings.bytes;
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
    if (this.#slots === this.#holdings.lost.length) {
      this.#holdings.widen(this.#slots * 2);
      this.#walk.widen(this.#slots * 2);
    }
    return this.#slots++;
  }

  leave(slot: number): void {
    this.#holdings.clear(slot);
    this.#freeSlots.push(slot);
  }

  held(slot: number, tier: KvTier): number {
    return this.#holdings.held[KV_TIERS.indexOf(tier)]![slot]!;
  }

  heldAnywhere(slot: number): number {
    return this.#holdings.held[0]![slot]! + this.#holdings.lower[slot]!;
  }

  lost(slot: number): number {
    return this.#holdings.lost[slot]!;
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
        return { ...NOTHING, removed: this.#holdings.clear(slot) };
    }
  }

  expect(slot: number, prompt: PromptBlocks, untilMs: number): void {
    const { length } = prompt;
    if (length === 0) return;
    this.#holdings.tick = (this.#holdings.tick + 1) | 0;
    const view = this.#view;
    view.look(prompt.contents(length));
    this.#holdings.makeRoom(length);
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
          const more = this.#canGrow(run, slot, -1) ? this.#writer.append(run, view, block, length) : 0;
          at += more;
          block += more;
        }
      } else {
        const created = this.#writer.create(run, at, view, block, length);
        if (created < 0) {
          this.#holdings.countLost(slot, length - block);
          break;
        }
        run = created;
        at = this.#runs.head[run * HEAD + LENGTH]!;
        block += at;
      }
      this.#expectations.say(run, slot, at, untilMs);
    }
    view.close();
    this.#holdings.touch(run);
  }

  expire(nowMs: number): void {
    this.#expectations.expire(nowMs, (run) => this.#holdings.prune(run));
  }

  match(prompt: PromptBlocks, into: Overlaps): void {
    assert(into.device.length >= this.#slots, "an answer has room for all slots");
    this.#holdings.tick = (this.#holdings.tick + 1) | 0;
    this.#walk.match(
      prompt,
      into,
      this.#slots,
      this.#holdings.lowerEntries > 0 ? this.#holdings.lower : undefined,
      this.#holdings.tick,
    );
  }

  dump(slot: number): Iterable<KvChange> {
    return dumpHolder(this.#holdings, slot);
  }

  #store(slot: number, change: KvStored): KvApplied {
    const tier = KV_TIERS.indexOf(change.tier);
    const lane = laneOf(tier, slot);
    const names = nameList(change.hashes);
    const count = change.hashes.length;
    if (this.#runs.planes[tier]! < 0) this.#runs.widen(this.#holdings.lost.length, tier);
    this.#holdings.tick = (this.#holdings.tick + 1) | 0;
    const parent = change.parent === undefined ? undefined : nameList(BigUint64Array.of(change.parent));
    const before = parent ? this.#names.find(slot, parent, 0) : -1;
    if (before >= 0) this.#holdings.touch(this.#arena.owner[before]!);
    this.#holdings.makeRoom(count);
    const last = parent ? this.#names.find(slot, parent, 0) : -1;
    if (parent && last < 0) {
      if (this.#holdings.lost[slot] === 0) return { ...NOTHING, parentUnknown: true };
      this.#holdings.countLost(slot, count);
      return NOTHING;
    }
    const view = this.#view;
    view.look(change.contents);
    const stored = this.#storeBehind(last, { slot, lane, names, view, count });
    view.close();
    this.#holdings.count(slot, tier, stored);
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
        this.#holdings.settle(run);
        const position = data + at + same - 1;
        run = owner[position]!;
        at = position - this.#runs.head[run * HEAD + DATA]! + 1;
        block += same;
        continue;
      }
      if (at === length && this.#canGrow(run, slot, lane)) {
        const more = this.#writer.append(run, view, block, count);
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
      const created = this.#writer.create(run, at, view, block, count);
      if (created < 0) {
        this.#holdings.countLost(slot, count - block);
        break;
      }
      run = created;
      at = this.#runs.head[run * HEAD + LENGTH]!;
      cover(this.#runs, run, lane, 0, at);
      this.#nameNew(told, block, run, 0, at);
      stored += at;
      block += at;
    }
    this.#holdings.touch(run);
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
      const had = this.#holdings.uncover(run, lane, first - data, last + 1 - data);
      removed += had;
      absent += end - at - had;
      this.#holdings.tidy(run);
      at = end;
    }
    return { ...NOTHING, removed, absent };
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
