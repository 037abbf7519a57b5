import { EXPECTED, FULL, HEAD, LENGTH, PART, PARTS, type RunTable } from "./run-table.ts";

/** Which lane: one tier of one holder. */
export function laneOf(tier: number, slot: number): number {
  return (tier << 16) | slot;
}

/** Whether a lane has all of a run. */
export function hasAll(runs: RunTable, run: number, lane: number): boolean {
  const plane = runs.planes[lane >> 16]!;
  if (plane < 0) return false;
  const slot = lane & 0xffff;
  return ((runs.full[run * runs.width + plane * runs.words + (slot >> 5)]! >>> (slot & 31)) & 1) === 1;
}

function setAll(runs: RunTable, run: number, lane: number, has: boolean): void {
  const slot = lane & 0xffff;
  const word = run * runs.width + runs.planes[lane >> 16]! * runs.words + (slot >> 5);
  if (has) runs.full[word]! |= 1 << (slot & 31);
  else runs.full[word]! &= ~(1 << (slot & 31));
  runs.head[run * HEAD + FULL]! += has ? 1 : -1;
}

function addPart(runs: RunTable, run: number, lane: number, from: number, to: number): void {
  const base = run * HEAD;
  const part = base + PART + runs.head[base + PARTS]! * 2;
  runs.head[part] = lane;
  runs.head[part + 1] = (from << 16) | to;
  runs.head[base + PARTS]!++;
}

/** The last stretch comes in the place of one that goes. */
function dropPart(head: Int32Array, base: number, index: number): void {
  const last = head[base + PARTS]! - 1;
  head[base + PART + index * 2] = head[base + PART + last * 2]!;
  head[base + PART + index * 2 + 1] = head[base + PART + last * 2 + 1]!;
  head[base + PARTS] = last;
}

/** A lane has blocks `from` to `to - 1` from now on, too; returns how many are new to it. May add a stretch. */
export function cover(runs: RunTable, run: number, lane: number, from: number, to: number): number {
  if (from === to || hasAll(runs, run, lane)) return 0;
  const { head } = runs;
  const base = run * HEAD;
  let first = from;
  let end = to;
  let known = 0;
  for (let index = head[base + PARTS]! - 1; index >= 0; index--) {
    if (head[base + PART + index * 2] !== lane) continue;
    const stretch = head[base + PART + index * 2 + 1]!;
    const [partFrom, partTo] = [stretch >>> 16, stretch & 0xffff];
    if (partTo < from || partFrom > to) continue;
    known += Math.max(0, Math.min(partTo, to) - Math.max(partFrom, from));
    first = Math.min(first, partFrom);
    end = Math.max(end, partTo);
    dropPart(head, base, index);
  }
  if (first === 0 && end === head[base + LENGTH]) setAll(runs, run, lane, true);
  else addPart(runs, run, lane, first, end);
  return to - from - known;
}

/** A lane has not blocks `from` to `to - 1` from now on; returns how many it had. May add stretches. */
export function uncover(runs: RunTable, run: number, lane: number, from: number, to: number): number {
  const { head } = runs;
  const base = run * HEAD;
  if (hasAll(runs, run, lane)) {
    const length = head[base + LENGTH]!;
    setAll(runs, run, lane, false);
    if (from > 0) addPart(runs, run, lane, 0, from);
    if (to < length) addPart(runs, run, lane, to, length);
    return Math.min(to, length) - from;
  }
  let removed = 0;
  for (let index = head[base + PARTS]! - 1; index >= 0; index--) {
    if (head[base + PART + index * 2] !== lane) continue;
    const stretch = head[base + PART + index * 2 + 1]!;
    const [partFrom, partTo] = [stretch >>> 16, stretch & 0xffff];
    const cut = Math.min(partTo, to) - Math.max(partFrom, from);
    if (cut <= 0) continue;
    removed += cut;
    dropPart(head, base, index);
    // Added at the end: those are not looked at again.
    if (partFrom < from) addPart(runs, run, lane, partFrom, from);
    if (partTo > to) addPart(runs, run, lane, to, partTo);
  }
  return removed;
}

/** How many of the blocks from `from` on a lane has in a row. */
export function stretchFrom(runs: RunTable, run: number, lane: number, from: number): number {
  const { head } = runs;
  const base = run * HEAD;
  if (hasAll(runs, run, lane)) return head[base + LENGTH]! - from;
  for (let index = 0; index < head[base + PARTS]!; index++) {
    if (head[base + PART + index * 2] !== lane) continue;
    const stretch = head[base + PART + index * 2 + 1]!;
    if (stretch >>> 16 <= from && (stretch & 0xffff) > from) return (stretch & 0xffff) - from;
  }
  return 0;
}

/** Behind the last block of a run that any lane has. */
export function lastCovered(runs: RunTable, run: number): number {
  const { head } = runs;
  const base = run * HEAD;
  if (head[base + FULL]! > 0) return head[base + LENGTH]!;
  let last = 0;
  for (let index = 0; index < head[base + PARTS]!; index++) {
    last = Math.max(last, head[base + PART + index * 2 + 1]! & 0xffff);
  }
  return last;
}

/** Behind the last block of a run that a lane has. */
export function laneEnd(runs: RunTable, run: number, lane: number): number {
  const { head } = runs;
  const base = run * HEAD;
  if (hasAll(runs, run, lane)) return head[base + LENGTH]!;
  let last = 0;
  for (let index = 0; index < head[base + PARTS]!; index++) {
    if (head[base + PART + index * 2] === lane) last = Math.max(last, head[base + PART + index * 2 + 1]! & 0xffff);
  }
  return last;
}

/** Whether a slot may have something of a run, in any tier or expected; quick, for those who look at all runs. */
export function mayHave(runs: RunTable, run: number, slot: number): boolean {
  const { full, head, width, words } = runs;
  if (head[run * HEAD + PARTS] !== 0 || head[run * HEAD + EXPECTED] !== 0) return true;
  const row = run * width;
  for (let word = slot >> 5; word < width; word += words) if ((full[row + word]! >>> (slot & 31)) & 1) return true;
  return false;
}

/** After a run became shorter: who has what is left of it has all of it. */
export function shortened(runs: RunTable, run: number): void {
  const { head } = runs;
  const base = run * HEAD;
  for (let index = head[base + PARTS]! - 1; index >= 0; index--) {
    if (head[base + PART + index * 2 + 1] !== head[base + LENGTH]) continue;
    const lane = head[base + PART + index * 2]!;
    dropPart(head, base, index);
    setAll(runs, run, lane, true);
  }
}

/** Where a run with too many stretches is split best: at the middle one of their ends within it. */
export function splitPlace(runs: RunTable, run: number): number {
  const { head } = runs;
  const base = run * HEAD;
  const ends: number[] = [];
  for (let index = 0; index < head[base + PARTS]!; index++) {
    const stretch = head[base + PART + index * 2 + 1]!;
    if (stretch >>> 16 > 0) ends.push(stretch >>> 16);
    if ((stretch & 0xffff) < head[base + LENGTH]!) ends.push(stretch & 0xffff);
  }
  return ends.sort((left, right) => left - right)[ends.length >> 1]!;
}

/** Deals the stretches of a run out to it and to the rest that was split off behind `at` blocks. */
export function dealOut(runs: RunTable, run: number, rest: number, at: number): void {
  const { head } = runs;
  const base = run * HEAD;
  const parts = Array.from(head.subarray(base + PART, base + PART + head[base + PARTS]! * 2));
  head[base + PARTS] = 0;
  for (let index = 0; index < parts.length; index += 2) {
    const lane = parts[index]!;
    const [from, to] = [parts[index + 1]! >>> 16, parts[index + 1]! & 0xffff];
    if (from < at) cover(runs, run, lane, from, Math.min(to, at));
    if (to > at) cover(runs, rest, lane, Math.max(from, at) - at, to - at);
  }
}
