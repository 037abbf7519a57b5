import { type BlockArena, MAX_STRETCH } from "./block-arena.ts";
import type { BlockNames } from "./block-names.ts";
import { DATA, FOREIGN, HEAD, LENGTH, ROOM, type RunTable } from "./run-table.ts";
import type { HashView } from "./walk.ts";

/** Writes blocks that nobody knew, at the end of a run or into one of their own. Who has them is somebody else's to say. */
export class BlockWriter {
  readonly #arena: BlockArena;
  readonly #runs: RunTable;
  readonly #names: BlockNames;

  constructor(parts: { readonly arena: BlockArena; readonly runs: RunTable; readonly names: BlockNames }) {
    this.#arena = parts.arena;
    this.#runs = parts.runs;
    this.#names = parts.names;
  }

  /** Adds blocks of a list to the end of a run, as many as there is room for; returns how many. */
  append(run: number, view: HashView, from: number, to: number): number {
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
  create(parent: number, at: number, view: HashView, from: number, to: number): number {
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
}
