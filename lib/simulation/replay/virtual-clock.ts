import type { Clock, Timer } from "#lib/base/clock";
import { assert } from "#lib/base/errors";
import { Heap } from "#lib/base/heap";

/** What happens at one moment, in this order: what was under way ends, what comes arrives, and then the turn ends and begins what it decided. */
const PHASE = { ends: 0, arrives: 1, turnEnds: 2 } as const;

interface Due {
  readonly atMs: number;
  readonly phase: number;
  /** How many were asked for before it. */
  readonly order: number;
  call: (() => void) | undefined;
}

/** Calls at one moment before something is wrong: two ends that call each other for ever. */
const MOST_AT_ONCE = 10_000_000;

/**
 * Time that passes as fast as somebody computes. All that happens stands in one queue: in order of its moment, within a
 * moment timers before arrivals before ends of turns, and then in the order of having been asked for. So whoever
 * arrives finds what ended then, and shares the pass that begins then.
 */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  /** Calls at this moment. */
  #atOnce = 0;
  readonly #unixStartMs: number;
  readonly #mostAtOnce: number;
  readonly #queue = new Heap<Due>((left, right) => {
    if (left.atMs !== right.atMs) return left.atMs < right.atMs;
    return left.phase === right.phase ? left.order < right.order : left.phase < right.phase;
  });

  /** `unixStartMs`: the Unix time at which it begins. `mostAtOnce`: calls at one moment. */
  constructor(unixStartMs = 1_800_000_000_000, mostAtOnce = MOST_AT_ONCE) {
    this.#unixStartMs = unixStartMs;
    this.#mostAtOnce = mostAtOnce;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  unixMs(): number {
    return this.#unixStartMs + Math.floor(this.#nowMs);
  }

  after(delayMs: number, call: () => void): Timer {
    const due = this.#add(this.#nowMs + Math.max(0, delayMs), PHASE.ends, call);
    return {
      cancel() {
        due.call = undefined;
      },
    };
  }

  /** Calls once at a moment that is not past: behind what ends then, before passes begin. It cannot be taken back. */
  arrive(atMs: number, call: () => void): void {
    this.#add(Math.max(atMs, this.#nowMs), PHASE.arrives, call);
  }

  soon(call: () => void): void {
    this.#add(this.#nowMs, PHASE.turnEnds, call);
  }

  /** Calls at once, and lets it be an earlier moment meanwhile: what happened then is told late. */
  as(atMs: number, call: () => void): void {
    assert(atMs <= this.#nowMs, "what happened is past");
    const nowMs = this.#nowMs;
    this.#nowMs = atMs;
    try {
      call();
    } finally {
      this.#nowMs = nowMs;
    }
  }

  /** Lets what is next happen, and is at its moment. False when nothing waits. */
  step(): boolean {
    for (let next = this.#queue.pop(); next; next = this.#queue.pop()) {
      const { atMs, call } = next;
      if (!call) continue;
      this.#atOnce = atMs === this.#nowMs ? this.#atOnce + 1 : 0;
      assert(this.#atOnce < this.#mostAtOnce, "time goes on");
      this.#nowMs = atMs;
      call();
      return true;
    }
    return false;
  }

  #add(atMs: number, phase: number, call: () => void): Due {
    const due: Due = { atMs, phase, order: this.#order++, call };
    this.#queue.push(due);
    return due;
  }
}
