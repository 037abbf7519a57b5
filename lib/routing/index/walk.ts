import type { BlockArena } from "./block-arena.ts";
import { laneOf, stretchFrom } from "./coverage.ts";
import type { Expectations } from "./expectations.ts";
import type { Overlaps, PromptBlocks } from "./prefix-index.ts";
import { DATA, EXPECTED, HEAD, LENGTH, PART, PARTS, ROOT, type RunTable, TICK } from "./run-table.ts";

/** Content hashes of somebody else's, as floats to compare and as words. */
export class HashView {
  #of: BigUint64Array | undefined;
  floats: Float64Array = new Float64Array(0);
  words: Int32Array = new Int32Array(0);

  /** Looks at these hashes. A new array costs two views, the one of last time nothing. */
  look(hashes: BigUint64Array): void {
    if (this.#of === hashes) return;
    this.#of = hashes;
    this.floats = new Float64Array(hashes.buffer, hashes.byteOffset, hashes.length);
    this.words = new Int32Array(hashes.buffer, hashes.byteOffset, hashes.length * 2);
  }

  /** Lets them go. */
  close(): void {
    this.#of = undefined;
  }
}

/**
 * How many of `count` hashes are equal, from places on. Floats are compared because a word at a time takes twice as long;
 * those that are no numbers differ from themselves and are looked at again. The hashes 0 and 2^63 are equal here.
 */
export function equalHashes(arena: BlockArena, from: number, view: HashView, start: number, count: number): number {
  const mine = arena.contents;
  const others = view.floats;
  const end = from + count;
  const shift = start - from;
  let at = from;
  for (;;) {
    for (const most = end - 7; at < most; at += 8) {
      const other = at + shift;
      if (mine[at] !== others[other] || mine[at + 1] !== others[other + 1]) break;
      if (mine[at + 2] !== others[other + 2] || mine[at + 3] !== others[other + 3]) break;
      if (mine[at + 4] !== others[other + 4] || mine[at + 5] !== others[other + 5]) break;
      if (mine[at + 6] !== others[other + 6] || mine[at + 7] !== others[other + 7]) break;
    }
    while (at < end && mine[at] === others[at + shift]) at++;
    if (at >= end) return count;
    const other = (at + shift) * 2;
    if (arena.contentWords[at * 2] !== view.words[other]) return at - from;
    if (arena.contentWords[at * 2 + 1] !== view.words[other + 1]) return at - from;
    at++;
  }
}

/** Goes along a prompt from run to run and says who has how much of it. Scratch memory is used again. */
export class Walk {
  readonly #arena: BlockArena;
  readonly #runs: RunTable;
  readonly #expectations: Expectations;
  readonly #view = new HashView();
  /** Slots, a bit each, that have all blocks so far. */
  #alive = new Int32Array(1);
  /** By slot, how many blocks of the run it has that not all have; 0 outside of a run. */
  #reach = new Uint32Array(0);
  #named = new Uint32Array(0);
  /** Slots that have the blocks of a run that not all have, as bits. */
  #through = new Int32Array(1);
  /** The runs of the path, where each begins, and how many of its blocks the prompt has. */
  #pathRun: number[] = [];
  #pathStart: number[] = [];
  #pathBlocks: number[] = [];

  constructor(arena: BlockArena, runs: RunTable, expectations: Expectations) {
    this.#arena = arena;
    this.#runs = runs;
    this.#expectations = expectations;
  }

  /** Slots below this may be met. */
  widen(slots: number): void {
    this.#reach = new Uint32Array(slots);
    this.#named = new Uint32Array(slots);
    this.#alive = new Int32Array(this.#runs.words);
    this.#through = new Int32Array(this.#runs.words);
  }

  /** Fills in who has what, and marks the runs as used at `tick`. `lower` says by slot who has something in a lower tier. */
  match(prompt: PromptBlocks, into: Overlaps, slots: number, lower: Uint32Array | undefined, tick: number): void {
    const { device } = into;
    device.fill(0, 0, slots);
    const { head } = this.#runs;
    const length = prompt.length;
    const alive = this.#alive.fill(-1);
    const view = this.#view;
    let run = ROOT;
    let behind = 0;
    let start = 0;
    let there = 0;
    let steps = 0;
    let isAnybody = true;
    while (start < length && (isAnybody || lower !== undefined)) {
      if (start >= there) {
        view.look(prompt.contents(start + 1));
        there = prompt.hashed;
      }
      run = this.#runs.find(run, behind, view.words[start * 2]!, view.words[start * 2 + 1]!);
      if (run < 0) break;
      const base = run * HEAD;
      const most = Math.min(head[base + LENGTH]!, length - start);
      const data = head[base + DATA]!;
      behind = equalHashes(this.#arena, data, view, start, Math.min(most, there - start));
      while (start + behind === there && behind < most) {
        view.look(prompt.contents(there + 1));
        there = prompt.hashed;
        behind += equalHashes(this.#arena, data + behind, view, start + behind, Math.min(most, there - start) - behind);
      }
      head[base + TICK] = tick;
      this.#pathRun[steps] = run;
      this.#pathStart[steps] = start;
      this.#pathBlocks[steps] = behind;
      steps++;
      if (isAnybody) isAnybody = this.#keep(run, start, behind, device);
      start += behind;
    }
    if (steps > 0) for (let word = 0; word < alive.length; word++) tell(device, word, alive[word]!, start);
    into.host.fill(0, 0, slots);
    into.disk.fill(0, 0, slots);
    into.external.fill(0, 0, slots);
    if (lower !== undefined) this.#extend(into, slots, lower, steps);
  }

  /** Who has not the first `blocks` blocks of a run drops out, and is told how far it came; false when nobody is left. */
  #keep(run: number, start: number, blocks: number, device: Uint32Array): boolean {
    const { head, full, width } = this.#runs;
    const base = run * HEAD;
    const alive = this.#alive;
    let have = full;
    let row = run * width;
    if (head[base + PARTS] !== 0 || head[base + EXPECTED] !== 0) {
      this.#weigh(run, start, blocks, device);
      have = this.#through;
      row = 0;
    }
    let any = 0;
    for (let word = 0; word < alive.length; word++) {
      const before = alive[word]!;
      const kept = before & have[row + word]!;
      if (kept !== before && start > 0) tell(device, word, before & ~kept, start);
      alive[word] = kept;
      any |= kept;
    }
    return any !== 0;
  }

  /** Notes who has the first `blocks` blocks of a run; who has fewer than that, but some, drops out here. */
  #weigh(run: number, start: number, blocks: number, device: Uint32Array): void {
    const { head, full, width } = this.#runs;
    const base = run * HEAD;
    const through = this.#through;
    for (let word = 0; word < through.length; word++) through[word] = full[run * width + word]!;
    const parts = base + PART;
    const end = parts + head[base + PARTS]! * 2;
    if (head[base + EXPECTED] !== 0) {
      this.#weighExpected(run, start, blocks, device);
      return;
    }
    for (let part = parts; part < end; part += 2) {
      // A lane of the first tier is its slot.
      if (head[part]! < 0x10000 && head[part + 1]! >>> 16 === 0) {
        this.#reached(head[part]!, head[part + 1]!, start, blocks, device);
      }
    }
  }

  /** The same where some is expected: that and what was told may take turns. */
  #weighExpected(run: number, start: number, blocks: number, device: Uint32Array): void {
    const { head } = this.#runs;
    const base = run * HEAD;
    const [reach, named] = [this.#reach, this.#named];
    let count = this.#expectations.collect(run, reach, named);
    for (let isMore = true; isMore; ) {
      isMore = false;
      for (let part = base + PART; part < base + PART + head[base + PARTS]! * 2; part += 2) {
        const slot = head[part]!;
        if (slot >= 0x10000) continue;
        const [from, to] = [head[part + 1]! >>> 16, head[part + 1]! & 0xffff];
        if (from > reach[slot]! || to <= reach[slot]!) continue;
        if (reach[slot] === 0) named[count++] = slot;
        reach[slot] = to;
        isMore = true;
      }
    }
    while (count > 0) {
      const slot = named[--count]!;
      this.#reached(slot, reach[slot]!, start, blocks, device);
      reach[slot] = 0;
    }
  }

  #reached(slot: number, reach: number, start: number, blocks: number, device: Uint32Array): void {
    const word = slot >> 5;
    const bit = 1 << (slot & 31);
    if (reach >= blocks) this.#through[word]! |= bit;
    else if ((this.#alive[word]! & bit) !== 0 && (this.#through[word]! & bit) === 0) {
      device[slot] = start + reach;
      this.#alive[word]! &= ~bit;
    }
  }

  /** Goes on along the path in each lower tier, from where the one before ended. */
  #extend(into: Overlaps, slots: number, lower: Uint32Array, steps: number): void {
    const tiers = [into.host, into.disk, into.external];
    for (let slot = 0; slot < slots; slot++) {
      if (lower[slot] === 0) continue;
      let depth = into.device[slot]!;
      for (const [index, of] of tiers.entries()) {
        const end = this.#extended(laneOf(index + 1, slot), depth, steps);
        of[slot] = end - depth;
        depth = end;
      }
    }
  }

  #extended(lane: number, from: number, steps: number): number {
    let depth = from;
    for (let step = 0; step < steps; step++) {
      const start = this.#pathStart[step]!;
      const end = start + this.#pathBlocks[step]!;
      while (depth >= start && depth < end) {
        const more = stretchFrom(this.#runs, this.#pathRun[step]!, lane, depth - start);
        if (more === 0) return depth;
        depth = Math.min(end, depth + more);
      }
    }
    return depth;
  }
}

/** Notes a depth for the slots of a word whose bits are set. */
function tell(device: Uint32Array, word: number, bits: number, depth: number): void {
  let left = bits;
  while (left !== 0) {
    const bit = 31 - Math.clz32(left);
    left &= ~(1 << bit);
    device[word * 32 + bit] = depth;
  }
}
