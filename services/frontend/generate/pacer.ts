import type { Clock, Timer } from "#lib/base/clock";

/** An answer whose tokens the pacer brings to the wire. */
export interface Paced {
  /** Writes what is due; returns the moment at which the rest must go out, Infinity when nothing waits for time. */
  flush(nowMs: number, lagging: boolean): number;
  /** Looks after a quiet stream: keep-alive. */
  tend(nowMs: number): void;
}

/** How answers are paced. */
export interface PacerOptions {
  readonly clock: Clock;
  /** Whether the event loop lags behind its work. */
  readonly lagging: () => boolean;
  /** How often quiet streams are looked after. */
  readonly tendMs: number;
  /** Calls once after what is ready now; setImmediate outside of tests. */
  readonly soon?: (call: () => void) => void;
}

/**
 * Brings tokens to the wire once per turn of the event loop: everything that the turn's link messages delivered is
 * written together, so that a request gets at most one write per engine step, and fewer when the loop lags and several
 * steps are read in one turn. One timer serves all answers that hold tokens back.
 */
export class Pacer {
  readonly #options: PacerOptions;
  readonly #soon: (call: () => void) => void;
  #marked = new Set<Paced>();
  readonly #held = new Map<Paced, number>();
  readonly #open = new Set<Paced>();
  #scheduled = false;
  #timer: Timer | undefined;
  #tending: Timer | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
    this.#soon = options.soon ?? setImmediate;
  }

  /** Answers that are looked after. */
  get open(): number {
    return this.#open.size;
  }

  /** Begins to look after an answer. */
  add(answer: Paced): void {
    this.#open.add(answer);
    this.#tend();
  }

  /** Forgets an answer. */
  remove(answer: Paced): void {
    this.#open.delete(answer);
    this.#marked.delete(answer);
    this.#held.delete(answer);
  }

  /** An answer has something to write. */
  mark(answer: Paced): void {
    this.#marked.add(answer);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#soon(this.#flush);
  }

  readonly #flush = (): void => {
    this.#scheduled = false;
    const marked = this.#marked;
    this.#marked = new Set();
    const nowMs = this.#options.clock.nowMs();
    const lagging = this.#options.lagging();
    for (const answer of marked) this.#flushOne(answer, nowMs, lagging);
    this.#wait(nowMs);
  };

  #flushOne(answer: Paced, nowMs: number, lagging: boolean): void {
    const dueMs = answer.flush(nowMs, lagging);
    if (this.#held.get(answer) === dueMs) return;
    this.#held.delete(answer);
    if (dueMs !== Number.POSITIVE_INFINITY && this.#open.has(answer)) this.#held.set(answer, dueMs);
  }

  /** Everybody holds for the same time, so the first that was held is the first that is due. */
  #wait(nowMs: number): void {
    if (this.#timer || this.#held.size === 0) return;
    const [dueMs] = this.#held.values();
    this.#timer = this.#options.clock.after(Math.max(0, dueMs! - nowMs), () => {
      this.#timer = undefined;
      const atMs = this.#options.clock.nowMs();
      for (const [answer, due] of this.#held) {
        if (due > atMs) break;
        this.#held.delete(answer);
        this.mark(answer);
      }
      this.#wait(atMs);
    });
  }

  #tend(): void {
    if (this.#tending) return;
    this.#tending = this.#options.clock.after(this.#options.tendMs, () => {
      this.#tending = undefined;
      const nowMs = this.#options.clock.nowMs();
      for (const answer of this.#open) answer.tend(nowMs);
      if (this.#open.size > 0) this.#tend();
    });
  }
}
