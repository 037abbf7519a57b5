import { assert } from "./errors.ts";
import { Heap } from "./heap.ts";

/** What fires when a timer is due; owned by whoever set it. */
export interface Timer {
  /** Stops it; does nothing when it fired already. */
  cancel(): void;
}

/** Time as a parameter. The system's is in `#lib/host/system-clock`, the simulator's own in tests. */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  nowMs(): number;
  /** Unix time in milliseconds, for records that people read; may jump. */
  unixMs(): number;
  /** Calls once after a delay of at least 0 ms. An unreferenced timer does not keep the process alive. */
  after(delayMs: number, call: () => void, options?: { keepAlive?: boolean }): Timer;
  /**
   * Calls once at the end of this turn of the event loop: after what has arrived, before any timer that falls due later.
   * What is asked for meanwhile waits for the next turn. It cannot be taken back.
   */
  soon(call: () => void): void;
}

/** A call that waits in the fake clock; `call` is undefined once it was made or taken back. */
interface Due {
  readonly dueMs: number;
  /** How many were asked for before it. */
  readonly order: number;
  call: (() => void) | undefined;
}

/** Most turns at one moment: more is two ends that call each other for ever. */
const MOST_TURNS = 1_000_000;

/** Timers that were taken back and may stay in the queue before it is swept, beyond as many as still wait. */
const MOST_DEAD = 64;

/**
 * A clock that moves only when told. Timers and ends of turns stand in one queue: they come in order of due time, then of
 * having been asked for.
 */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #dead = 0;
  readonly #unixStartMs: number;
  readonly #queue = new Heap<Due>((left, right) =>
    left.dueMs === right.dueMs ? left.order < right.order : left.dueMs < right.dueMs,
  );

  constructor(unixStartMs = 1_800_000_000_000) {
    this.#unixStartMs = unixStartMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  unixMs(): number {
    return this.#unixStartMs + Math.floor(this.#nowMs);
  }

  after(delayMs: number, call: () => void): Timer {
    const due = this.#add(this.#nowMs + Math.max(0, delayMs), call);
    return { cancel: () => this.#cancel(due) };
  }

  soon(call: () => void): void {
    this.#add(this.#nowMs, call);
  }

  /** Calls that wait: timers and ends of turns. */
  get pending(): number {
    return this.#queue.size - this.#dead;
  }

  /** When the first of them is due, undefined when none waits. */
  get nextMs(): number | undefined {
    return this.#first()?.dueMs;
  }

  /** Makes one turn: what is due now and was asked for before it. False when nothing was. */
  turn(): boolean {
    const behind = this.#order;
    let fired = false;
    for (;;) {
      const next = this.#first();
      if (!next || next.dueMs > this.#nowMs || next.order >= behind) return fired;
      this.#queue.pop();
      const { call } = next;
      next.call = undefined;
      fired = true;
      call?.();
    }
  }

  /** Makes turns until nothing is due now. */
  settle(): void {
    for (let turns = 0; this.turn(); turns++) assert(turns < MOST_TURNS, "the event loop settles");
  }

  /** Moves time on and makes the turns of every moment on the way, of timers set by timers included. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      this.settle();
      const next = this.#first();
      if (!next || next.dueMs > untilMs) break;
      this.#nowMs = next.dueMs;
    }
    this.#nowMs = untilMs;
  }

  #add(dueMs: number, call: () => void): Due {
    const due: Due = { dueMs, order: this.#order++, call };
    this.#queue.push(due);
    return due;
  }

  #cancel(due: Due): void {
    if (!due.call) return;
    due.call = undefined;
    this.#dead++;
    if (this.#dead <= this.pending + MOST_DEAD) return;
    this.#queue.keep(({ call }) => call !== undefined);
    this.#dead = 0;
  }

  /** The next that was not taken back. */
  #first(): Due | undefined {
    for (;;) {
      const first = this.#queue.peek();
      if (!first || first.call) return first;
      this.#queue.pop();
      this.#dead--;
    }
  }
}
