import type { BlockArena } from "./block-arena.ts";
import { TagTable } from "./tag-table.ts";

/** The run before all others: without blocks, held by nobody, never away. */
export const ROOT = 0;

/** Words of a header, two lines of a cache. */
export const HEAD = 32;
/** First position of its blocks. */
export const DATA = 0;
/** Its blocks; 0 in a header that is free. */
export const LENGTH = 1;
/** Positions that it has, from DATA on. */
export const ROOM = 2;
/** The run that it goes on from. */
export const PARENT = 3;
/** After how many blocks of its parent. */
export const AT = 4;
/** Runs that go on from it. */
export const KIDS = 5;
/** Those of them that go on from its last block. */
export const END_KIDS = 6;
const FIRST_KID = 7;
const NEXT_KID = 8;
const PREVIOUS_KID = 9;
/** Lanes that have all of it. */
export const FULL = 10;
/** Stretches of lanes that have not all of it. */
export const PARTS = 11;
/** First of its expectations, plus one. */
export const EXPECTED = 12;
/** Blocks before its first, in all its ancestors. */
export const START = 13;
/** Not 0 where a holder calls one of its blocks otherwise: then they keep their positions. */
export const FOREIGN = 14;
/** When it was last matched or stored, as a count of operations that wraps. */
export const TICK = 15;
/** Stretches, two words each: lane; first block << 16 | block behind the last. */
export const PART = 16;

/** Stretches that a header keeps; there is room for two more until it is split. */
export const MAX_PARTS = 6;

/** The place of a run among the children of another. Content hashes are even enough to need one product. */
export function kidTag(parent: number, at: number, contentLow: number): number {
  return Math.imul(contentLow ^ Math.imul(parent, 0x9e3779b1) ^ Math.imul(at, 0x85ebca6b), 0x2c1b3c6d);
}

/**
 * Runs: stretches of consecutive blocks with one header each. A run goes on from a block of another; its children are
 * found by that block and their first content hash. A row of bits says which lanes have all of it, and the header lists
 * stretches of lanes that have a part. A lane is one tier of one holder; the rows of a tier are there once it is used.
 */
export class RunTable {
  /** Headers. */
  head = new Int32Array(0);
  /** Rows of bits: for each tier in use a word for 32 slots. */
  full = new Int32Array(0);
  /** Words of a row. */
  width = 1;
  /** Words of one tier in a row. */
  words = 1;
  /** By tier the place of its words in a row, in units of `words`; -1 while it is not in use. */
  readonly planes = Int32Array.of(0, -1, -1, -1);
  /** Headers that were ever used: all runs are below. */
  end = 1;
  /** Headers, free ones among them. */
  capacity = 0;
  /** Headers that are free. */
  freeRuns = 0;
  readonly kids = new TagTable(0);
  readonly #arena: BlockArena;
  #firstFree = 0;

  constructor(arena: BlockArena) {
    this.#arena = arena;
  }

  /** Of a table with as many headers, at its width now. */
  bytesFor(capacity: number): number {
    return capacity * (HEAD + this.width) * 4 + TagTable.bytesFor(capacity);
  }

  get bytes(): number {
    return this.head.byteLength + this.full.byteLength + this.kids.bytes;
  }

  grow(capacity: number): void {
    const head = new Int32Array(capacity * HEAD);
    head.set(this.head);
    this.head = head;
    const full = new Int32Array(capacity * this.width);
    full.set(this.full);
    this.full = full;
    this.kids.reserve(capacity);
    this.freeRuns += capacity - Math.max(1, this.capacity);
    this.capacity = capacity;
  }

  /** Makes the rows fit for as many slots, and for a tier. */
  widen(slots: number, tier: number): void {
    const planes = this.planes[tier]! < 0 ? this.width / this.words + 1 : this.width / this.words;
    const words = Math.max(this.words, 2 ** Math.ceil(Math.log2(Math.ceil(slots / 32))));
    if (this.planes[tier]! < 0) this.planes[tier] = planes - 1;
    if (planes * words === this.width) return;
    const full = new Int32Array(this.capacity * planes * words);
    for (let run = 0; run < this.end; run++) {
      for (let word = 0; word < this.width; word++) {
        const plane = Math.floor(word / this.words);
        full[run * planes * words + plane * words + (word % this.words)] = this.full[run * this.width + word]!;
      }
    }
    this.full = full;
    this.words = words;
    this.width = planes * words;
  }

  /** Takes a header for a run of blocks that lie at `data`, and hangs it behind `at` blocks of its parent. */
  create(parent: number, at: number, data: number, length: number, room: number): number {
    if (this.freeRuns === 0) this.grow(Math.ceil(this.capacity * 1.5));
    let run = this.#firstFree;
    if (run === 0) run = this.end++;
    else this.#firstFree = this.head[run * HEAD + NEXT_KID]!;
    this.freeRuns--;
    const { head } = this;
    const base = run * HEAD;
    head.fill(0, base, base + HEAD);
    this.full.fill(0, run * this.width, (run + 1) * this.width);
    head[base + DATA] = data;
    head[base + LENGTH] = length;
    head[base + ROOM] = room;
    head[base + START] = head[parent * HEAD + START]! + at;
    this.#link(run, parent, at);
    return run;
  }

  /** Takes a run without blocks, children and holders away from its parent, and frees its header. */
  remove(run: number): void {
    this.#unlink(run);
    this.head[run * HEAD + LENGTH] = 0;
    this.head[run * HEAD + NEXT_KID] = this.#firstFree;
    this.#firstFree = run;
    this.freeRuns++;
  }

  /** The child behind `at` blocks of a run that begins with this content, -1 where there is none. */
  find(parent: number, at: number, contentLow: number, contentHigh: number): number {
    const tag = kidTag(parent, at, contentLow);
    const { head, kids } = this;
    const { contentWords } = this.#arena;
    for (let place = tag >>> kids.shift; ; place = (place + 1) & kids.mask) {
      const run = kids.pairs[place * 2]! - 1;
      if (run < 0) return -1;
      if (kids.pairs[place * 2 + 1] !== tag) continue;
      const base = run * HEAD;
      if (head[base + PARENT] !== parent || head[base + AT] !== at) continue;
      const data = head[base + DATA]! * 2;
      if (contentWords[data] === contentLow && contentWords[data + 1] === contentHigh) return run;
    }
  }

  /** After how many of its blocks the last of its children goes on. */
  lastKid(run: number): number {
    let last = 0;
    for (let kid = this.head[run * HEAD + FIRST_KID]!; kid !== 0; kid = this.head[kid * HEAD + NEXT_KID]!) {
      last = Math.max(last, this.head[kid * HEAD + AT]!);
    }
    return last;
  }

  /** Its children, in no order. */
  kidsOf(run: number): number[] {
    const kids: number[] = [];
    for (let kid = this.head[run * HEAD + FIRST_KID]!; kid !== 0; kid = this.head[kid * HEAD + NEXT_KID]!)
      kids.push(kid);
    return kids;
  }

  /** Counts the children that go on from its last block, after its length has changed. */
  countEndKids(run: number): void {
    const length = this.head[run * HEAD + LENGTH];
    let count = 0;
    for (let kid = this.head[run * HEAD + FIRST_KID]!; kid !== 0; kid = this.head[kid * HEAD + NEXT_KID]!) {
      if (this.head[kid * HEAD + AT] === length) count++;
    }
    this.head[run * HEAD + END_KIDS] = count;
  }

  /**
   * Makes two runs of one: the first `at` blocks, and a child with the rest, whose number is returned. Blocks stay where
   * they are. Rows are copied; stretches and expectations are the caller's to deal out.
   */
  split(run: number, at: number): number {
    const data = this.head[run * HEAD + DATA]!;
    const length = this.head[run * HEAD + LENGTH]!;
    const room = this.head[run * HEAD + ROOM]!;
    const later = this.kidsOf(run).filter((kid) => this.head[kid * HEAD + AT]! > at);
    for (const kid of later) this.#unlink(kid);
    this.head[run * HEAD + LENGTH] = at;
    this.head[run * HEAD + ROOM] = at;
    this.countEndKids(run);
    const rest = this.create(run, at, data + at, length - at, room - at);
    const { head } = this;
    this.full.copyWithin(rest * this.width, run * this.width, (run + 1) * this.width);
    head[rest * HEAD + FULL] = head[run * HEAD + FULL]!;
    head[rest * HEAD + FOREIGN] = head[run * HEAD + FOREIGN]!;
    head[rest * HEAD + TICK] = head[run * HEAD + TICK]!;
    this.#arena.owner.fill(rest, data + at, data + length);
    for (const kid of later) this.#link(kid, rest, head[kid * HEAD + AT]! - at);
    return rest;
  }

  #link(run: number, parent: number, at: number): void {
    const { head } = this;
    const base = run * HEAD;
    const over = parent * HEAD;
    const next = head[over + FIRST_KID]!;
    head[base + PARENT] = parent;
    head[base + AT] = at;
    head[base + NEXT_KID] = next;
    head[base + PREVIOUS_KID] = 0;
    if (next !== 0) head[next * HEAD + PREVIOUS_KID] = run;
    head[over + FIRST_KID] = run;
    head[over + KIDS]!++;
    if (at === head[over + LENGTH]) head[over + END_KIDS]!++;
    this.kids.insert(this.#tag(run), run);
  }

  #unlink(run: number): void {
    const { head } = this;
    const base = run * HEAD;
    const over = head[base + PARENT]! * HEAD;
    const next = head[base + NEXT_KID]!;
    const previous = head[base + PREVIOUS_KID]!;
    this.kids.remove(this.#tag(run), run);
    if (next !== 0) head[next * HEAD + PREVIOUS_KID] = previous;
    if (previous !== 0) head[previous * HEAD + NEXT_KID] = next;
    else head[over + FIRST_KID] = next;
    head[over + KIDS]!--;
    if (head[base + AT] === head[over + LENGTH]) head[over + END_KIDS]!--;
  }

  #tag(run: number): number {
    const base = run * HEAD;
    const content = this.#arena.contentWords[this.head[base + DATA]! * 2]!;
    return kidTag(this.head[base + PARENT]!, this.head[base + AT]!, content);
  }
}
