import { EXPECTED, HEAD, type RunTable } from "./run-table.ts";

/** Bytes of one record. */
const RECORD_BYTES = 4 * 4 + 2 * 8;

/**
 * Who is expected to have the first blocks of a run, and until when. What is expected of a prompt is expected of all its
 * beginnings, so the times of one holder fall along a run, and a record (blocks, until) stands for all that it outlasts.
 * Records hang on their run; a heap has the one that ends first on top. A record that was prolonged is put in its new
 * place when its old time comes.
 */
export class Expectations {
  /** (block, holder) entries by slot. */
  count = new Uint32Array(0);
  /** Over all slots. */
  total = 0;
  readonly #runs: RunTable;
  /** By record: its run, -1 for one that ended and waits for its place in the heap. */
  #run = new Int32Array(0);
  #slot = new Int32Array(0);
  /** Blocks of the run, from its first on. */
  #blocks = new Int32Array(0);
  #next = new Int32Array(0);
  #untilMs = new Float64Array(0);
  /** The time that its place in the heap is by. */
  #keyMs = new Float64Array(0);
  #heap = new Int32Array(0);
  #heapSize = 0;
  #free = -1;
  #ended = 0;

  constructor(runs: RunTable) {
    this.#runs = runs;
  }

  get bytes(): number {
    return this.#run.length * (RECORD_BYTES + 4) + this.count.byteLength;
  }

  /** Records, those among them that ended and wait to be forgotten. */
  get records(): number {
    return this.#heapSize;
  }

  /** Slots below this may expect something. */
  widen(slots: number): void {
    const count = new Uint32Array(slots);
    count.set(this.count);
    this.count = count;
  }

  /** Whether a record more fits without growing. */
  get hasRoom(): boolean {
    return this.#heapSize < this.#run.length;
  }

  /** Bytes that the next growth adds. */
  get nextGrowthBytes(): number {
    return Math.max(64, this.#run.length >> 1) * (RECORD_BYTES + 4);
  }

  /** A slot is expected to have the first blocks of a run. */
  say(run: number, slot: number, blocks: number, untilMs: number): void {
    const before = this.reach(run, slot);
    let kept = -1;
    for (let record = this.#first(run); record >= 0; record = this.#next[record]!) {
      if (this.#slot[record] !== slot) continue;
      if (this.#blocks[record]! >= blocks && this.#untilMs[record]! >= untilMs) return;
      if (this.#blocks[record]! <= blocks && this.#untilMs[record]! <= untilMs) {
        if (kept >= 0) this.#end(run, kept);
        kept = record;
      }
    }
    if (kept >= 0) {
      this.#blocks[kept] = blocks;
      this.#untilMs[kept] = untilMs;
    } else this.#add(run, slot, blocks, untilMs);
    this.#account(slot, Math.max(before, blocks) - before);
  }

  /** How many blocks of a run a slot is expected to have. */
  reach(run: number, slot: number): number {
    let blocks = 0;
    for (let record = this.#first(run); record >= 0; record = this.#next[record]!) {
      if (this.#slot[record] === slot) blocks = Math.max(blocks, this.#blocks[record]!);
    }
    return blocks;
  }

  /** How many blocks of a run anybody is expected to have. */
  lastExpected(run: number): number {
    let blocks = 0;
    for (let record = this.#first(run); record >= 0; record = this.#next[record]!) {
      blocks = Math.max(blocks, this.#blocks[record]!);
    }
    return blocks;
  }

  /** Notes in `reach`, all 0 before, by slot how many blocks of a run are expected; returns how many `slots` it named. */
  collect(run: number, reach: Uint32Array, slots: Uint32Array): number {
    let count = 0;
    for (let record = this.#first(run); record >= 0; record = this.#next[record]!) {
      const slot = this.#slot[record]!;
      const blocks = this.#blocks[record]!;
      if (reach[slot] === 0) slots[count++] = slot;
      if (reach[slot]! < blocks) reach[slot] = blocks;
    }
    return count;
  }

  /** Whether all that is expected of a run is expected of one slot. */
  isOf(run: number, slot: number): boolean {
    for (let record = this.#first(run); record >= 0; record = this.#next[record]!) {
      if (this.#slot[record] !== slot) return false;
    }
    return true;
  }

  /** A slot is not expected to have more than the first `blocks` blocks of a run any more; returns how many less. */
  cut(run: number, slot: number, blocks: number): number {
    const before = this.reach(run, slot);
    if (before <= blocks) return 0;
    let latest = -1;
    for (let record = this.#first(run); record >= 0; ) {
      const next = this.#next[record]!;
      if (this.#slot[record] === slot && this.#blocks[record]! > blocks) {
        latest = Math.max(latest, this.#untilMs[record]!);
        this.#end(run, record);
      }
      record = next;
    }
    if (blocks > 0) this.#add(run, slot, blocks, latest);
    this.#account(slot, blocks - before);
    return before - blocks;
  }

  /** Deals out what is expected of a run to it and to the rest that was split off behind `at` blocks. */
  dealOut(run: number, rest: number, at: number): void {
    const moved: (readonly [slot: number, blocks: number, untilMs: number])[] = [];
    for (let record = this.#first(run); record >= 0; ) {
      const next = this.#next[record]!;
      const blocks = this.#blocks[record]!;
      if (blocks > at) moved.push([this.#slot[record]!, blocks, this.#untilMs[record]!]);
      record = next;
    }
    for (const [slot] of moved) {
      const before = this.reach(run, slot);
      if (before > at) this.cut(run, slot, at);
    }
    for (const [slot, blocks, untilMs] of moved) this.say(rest, slot, blocks - at, untilMs);
  }

  /** Ends what has come to its end; `onEnd` is called for each run of which something ended, after it ended. */
  expire(nowMs: number, onEnd: (run: number) => void): void {
    while (this.#heapSize > 0) {
      const record = this.#heap[0]!;
      if (this.#run[record]! >= 0 && this.#keyMs[record]! > nowMs) return;
      const run = this.#run[record]!;
      if (run >= 0 && this.#untilMs[record]! > nowMs) {
        this.#keyMs[record] = this.#untilMs[record]!;
        this.#sink(0);
        continue;
      }
      this.#pop();
      if (run >= 0) {
        const slot = this.#slot[record]!;
        const before = this.reach(run, slot);
        this.#unhang(run, record);
        this.#account(slot, this.reach(run, slot) - before);
      } else this.#ended--;
      this.#next[record] = this.#free;
      this.#free = record;
      if (run >= 0) onEnd(run);
    }
  }

  #account(slot: number, more: number): void {
    this.count[slot]! += more;
    this.total += more;
  }

  #first(run: number): number {
    return this.#runs.head[run * HEAD + EXPECTED]! - 1;
  }

  #add(run: number, slot: number, blocks: number, untilMs: number): void {
    if (this.#ended > 64 && this.#ended * 2 > this.#heapSize) this.#sweep();
    let record = this.#free;
    if (record >= 0) this.#free = this.#next[record]!;
    else {
      record = this.#heapSize;
      if (record === this.#run.length) this.#grow();
    }
    this.#run[record] = run;
    this.#slot[record] = slot;
    this.#blocks[record] = blocks;
    this.#untilMs[record] = untilMs;
    this.#keyMs[record] = untilMs;
    this.#next[record] = this.#first(run);
    this.#runs.head[run * HEAD + EXPECTED] = record + 1;
    this.#heap[this.#heapSize++] = record;
    this.#rise(this.#heapSize - 1);
  }

  /** Takes a record away from its run; it stays in the heap until its time comes, or a sweep. */
  #end(run: number, record: number): void {
    this.#unhang(run, record);
    this.#run[record] = -1;
    this.#ended++;
  }

  #unhang(run: number, record: number): void {
    const next = this.#next[record]!;
    let at = this.#first(run);
    if (at === record) {
      this.#runs.head[run * HEAD + EXPECTED] = next + 1;
      return;
    }
    while (this.#next[at] !== record) at = this.#next[at]!;
    this.#next[at] = next;
  }

  /** Forgets all records that ended. */
  #sweep(): void {
    let kept = 0;
    for (let at = 0; at < this.#heapSize; at++) {
      const record = this.#heap[at]!;
      if (this.#run[record]! >= 0) this.#heap[kept++] = record;
      else {
        this.#next[record] = this.#free;
        this.#free = record;
      }
    }
    this.#heapSize = kept;
    this.#ended = 0;
    for (let at = (kept >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  #grow(): void {
    const length = this.#run.length + Math.max(64, this.#run.length >> 1);
    const larger = <Numbers extends Int32Array | Float64Array>(old: Numbers, next: Numbers): Numbers => {
      next.set(old);
      return next;
    };
    this.#run = larger(this.#run, new Int32Array(length));
    this.#slot = larger(this.#slot, new Int32Array(length));
    this.#blocks = larger(this.#blocks, new Int32Array(length));
    this.#next = larger(this.#next, new Int32Array(length));
    this.#heap = larger(this.#heap, new Int32Array(length));
    this.#untilMs = larger(this.#untilMs, new Float64Array(length));
    this.#keyMs = larger(this.#keyMs, new Float64Array(length));
  }

  #pop(): void {
    this.#heap[0] = this.#heap[--this.#heapSize]!;
    this.#sink(0);
  }

  #rise(from: number): void {
    const heap = this.#heap;
    const moved = heap[from]!;
    let at = from;
    while (at > 0) {
      const over = (at - 1) >> 1;
      if (this.#keyMs[heap[over]!]! <= this.#keyMs[moved]!) break;
      heap[at] = heap[over]!;
      at = over;
    }
    heap[at] = moved;
  }

  #sink(from: number): void {
    if (from >= this.#heapSize) return;
    const heap = this.#heap;
    const moved = heap[from]!;
    let at = from;
    for (;;) {
      let under = at * 2 + 1;
      if (under >= this.#heapSize) break;
      if (under + 1 < this.#heapSize && this.#keyMs[heap[under + 1]!]! < this.#keyMs[heap[under]!]!) under++;
      if (this.#keyMs[heap[under]!]! >= this.#keyMs[moved]!) break;
      heap[at] = heap[under]!;
      at = under;
    }
    heap[at] = moved;
  }
}
