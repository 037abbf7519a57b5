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
}

/** A clock that moves only when told; timers fire in order of due time, then of creation. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #next = 0;
  readonly #unixStartMs: number;
  readonly #timers = new Map<number, { dueMs: number; call: () => void }>();

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
    const id = this.#next++;
    this.#timers.set(id, { dueMs: this.#nowMs + Math.max(0, delayMs), call });
    return { cancel: () => void this.#timers.delete(id) };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time on and fires what falls due on the way, timers set by timers included. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (;;) {
      let first: [number, { dueMs: number; call: () => void }] | undefined;
      for (const entry of this.#timers) if (!first || entry[1].dueMs < first[1].dueMs) first = entry;
      if (!first || first[1].dueMs > untilMs) break;
      this.#timers.delete(first[0]);
      this.#nowMs = Math.max(this.#nowMs, first[1].dueMs);
      first[1].call();
    }
    this.#nowMs = untilMs;
  }
}
