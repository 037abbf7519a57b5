import type { BlockArena } from "./block-arena.ts";
import { DATA, FOREIGN, HEAD, LENGTH, type RunTable } from "./run-table.ts";
import { TagTable } from "./tag-table.ts";

/** What a pair of names costs in two maps, about. */
const FOREIGN_BYTES = 160;

/** Names that one holder has for blocks that others named before, both ways. */
interface ForeignNames {
  readonly positions: Map<bigint, number>;
  readonly names: Map<number, bigint>;
}

/** The names of a change, as numbers and as words, low word first. */
export interface NameList {
  /** The engine's hashes. */
  readonly hashes: BigUint64Array;
  /** The same memory, two words for each. */
  readonly words: Int32Array;
}

/** Names as numbers and words. */
export function nameList(hashes: BigUint64Array): NameList {
  return { hashes, words: new Int32Array(hashes.buffer, hashes.byteOffset, hashes.length * 2) };
}

function tagOf(low: number, high: number): number {
  return Math.imul(low ^ Math.imul(high, 0x85ebca6b), 0x9e3779b1);
}

/**
 * Which block an engine means by a hash: one table for all holders, once per block, by the name that it was first told
 * under. A holder with another name for it has that one in a table of its own, which is asked first; so has a holder
 * that gives a block a name under which another block is known.
 */
export class BlockNames {
  readonly #arena: BlockArena;
  readonly #runs: RunTable;
  readonly #table = new TagTable(0);
  readonly #foreign: (ForeignNames | undefined)[] = [];
  #foreignCount = 0;

  constructor(arena: BlockArena, runs: RunTable) {
    this.#arena = arena;
    this.#runs = runs;
  }

  get bytes(): number {
    return this.#table.bytes + this.#foreignCount * FOREIGN_BYTES;
  }

  /** What it takes more when it is made for as many blocks. */
  bytesToReserve(blocks: number): number {
    return Math.max(0, TagTable.bytesFor(blocks) - this.#table.bytes);
  }

  /** As many blocks have names at once. */
  reserve(blocks: number): void {
    this.#table.reserve(blocks);
  }

  /** The position of the block that a slot means by a name of a list, -1 where there is none. */
  find(slot: number, list: NameList, at: number): number {
    const foreign = this.#foreign[slot];
    if (foreign !== undefined) {
      const position = foreign.positions.get(list.hashes[at]!);
      if (position !== undefined) return position;
    }
    return this.#known(list.words[at * 2]!, list.words[at * 2 + 1]!);
  }

  #known(low: number, high: number): number {
    const { pairs, shift, mask } = this.#table;
    const { nameWords } = this.#arena;
    const tag = tagOf(low, high);
    for (let place = tag >>> shift; ; place = (place + 1) & mask) {
      const position = pairs[place * 2]! - 1;
      if (position < 0) return -1;
      if (pairs[place * 2 + 1] !== tag) continue;
      if (nameWords[position * 2] === low && nameWords[position * 2 + 1] === high) return position;
    }
  }

  /** A slot calls the block at a position so. The first name of a block is for everybody. */
  give(slot: number, list: NameList, at: number, position: number): void {
    const { nameWords } = this.#arena;
    const low = list.words[at * 2]!;
    const high = list.words[at * 2 + 1]!;
    const [nowLow, nowHigh] = [nameWords[position * 2]!, nameWords[position * 2 + 1]!];
    if (nowLow === low && nowHigh === high && (low | high) !== 0) return;
    if ((nowLow | nowHigh) === 0 && (low | high) !== 0 && this.#known(low, high) < 0) {
      nameWords[position * 2] = low;
      nameWords[position * 2 + 1] = high;
      this.#table.insert(tagOf(low, high), position);
    } else this.#giveForeign(slot, list.hashes[at]!, position);
  }

  #giveForeign(slot: number, name: bigint, position: number): void {
    let foreign = this.#foreign[slot];
    if (foreign === undefined) {
      foreign = { positions: new Map(), names: new Map() };
      this.#foreign[slot] = foreign;
    }
    const earlier = foreign.names.get(position);
    if (earlier === name) return;
    if (earlier !== undefined) foreign.positions.delete(earlier);
    const other = foreign.positions.get(name);
    if (other !== undefined) foreign.names.delete(other);
    this.#foreignCount -= (earlier === undefined ? 0 : 1) + (other === undefined ? 0 : 1);
    foreign.positions.set(name, position);
    foreign.names.set(position, name);
    this.#foreignCount++;
    this.#runs.head[this.#arena.owner[position]! * HEAD + FOREIGN] = 1;
  }

  /** Whether a slot has names of its own. */
  isForeign(slot: number): boolean {
    return this.#foreign[slot] !== undefined;
  }

  /** By what name a slot knows a block; 0 where nobody named it. */
  nameOf(slot: number, position: number): bigint {
    return this.#foreign[slot]?.names.get(position) ?? this.#arena.names[position]!;
  }

  /** A slot does not hold the block at a position any more. */
  dropForeign(slot: number, position: number): void {
    const foreign = this.#foreign[slot];
    const name = foreign?.names.get(position);
    if (foreign === undefined || name === undefined) return;
    foreign.names.delete(position);
    foreign.positions.delete(name);
    this.#foreignCount--;
    if (foreign.names.size === 0) this.#foreign[slot] = undefined;
  }

  /** A slot holds nothing any more. */
  dropSlot(slot: number): void {
    this.#foreignCount -= this.#foreign[slot]?.names.size ?? 0;
    this.#foreign[slot] = undefined;
  }

  /** Nobody knows the blocks at positions `from` to `to - 1` any more. */
  forget(from: number, to: number): void {
    const { nameWords } = this.#arena;
    for (let position = from; position < to; position++) {
      const low = nameWords[position * 2]!;
      const high = nameWords[position * 2 + 1]!;
      if ((low | high) === 0) continue;
      this.#table.remove(tagOf(low, high), position);
      nameWords[position * 2] = 0;
      nameWords[position * 2 + 1] = 0;
    }
  }

  /** The blocks of a run, which nobody names otherwise, lie elsewhere from now on: `data` is where. Names go along. */
  move(run: number, data: number): void {
    const { nameWords } = this.#arena;
    const from = this.#runs.head[run * HEAD + DATA]!;
    const length = this.#runs.head[run * HEAD + LENGTH]!;
    for (let block = 0; block < length; block++) {
      const low = nameWords[(from + block) * 2]!;
      const high = nameWords[(from + block) * 2 + 1]!;
      nameWords[(data + block) * 2] = low;
      nameWords[(data + block) * 2 + 1] = high;
      if ((low | high) === 0) continue;
      this.#table.replace(tagOf(low, high), from + block, data + block);
      nameWords[(from + block) * 2] = 0;
      nameWords[(from + block) * 2 + 1] = 0;
    }
  }
}
