import type { Clock, Timer } from "#lib/base/clock";
import { Roster, type Rostered } from "#lib/base/collections";

/** An answer whose tokens the pacer brings to the wire. */
export interface Paced extends Rostered {
  /** Owned by the pacer: it waits for its turn. */
  marked: boolean;
  /** Owned by the pacer: the moment at which what it holds back must go out; Infinity when it holds nothing. */
  dueMs: number;
  /** Writes what is due; returns the moment at which the rest must go out, Infinity when nothing waits for time. */
  flush(nowMs: number, lagging: boolean): number;
  /** Its flush threw, which is a bug: it ends, and the others go on. */
  crash(error: unknown): void;
  /** Looks after a quiet stream: keep-alive. */
  tend(nowMs: number): void;
}

/** How answers are paced. */
export interface PacerOptions {
  /** Of ends of turns and of what is held back. */
  readonly clock: Clock;
  /** Whether the event loop lags behind its work. */
  readonly lagging: () => boolean;
  /** How often quiet streams are looked after. */
  readonly tendMs: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/**
 * Brings tokens to the wire once per turn of the event loop: everything that the turn's link messages delivered is
 * written together, so that a request gets at most one write per engine step, and fewer when the loop lags and several
 * steps are read in one turn. One timer serves all answers that hold tokens back.
 */
export class Pacer {
  readonly #options: PacerOptions;
  readonly #open = new Roster<Paced>();
  #marked: Paced[] = [];
  #held: Timer | undefined;
  #tending: Timer | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
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
    if (!this.#open.delete(answer) || this.#open.size > 0) return;
    this.#held?.cancel();
    this.#tending?.cancel();
    this.#held = this.#tending = undefined;
  }

  /** An answer has something to write. */
  mark(answer: Paced): void {
    if (answer.marked) return;
    answer.marked = true;
    this.#marked.push(answer);
    if (this.#marked.length === 1) this.#options.clock.soon(this.#flush);
  }

  readonly #flush = (): void => {
    const marked = this.#marked;
    this.#marked = [];
    const nowMs = this.#options.clock.nowMs();
    const lagging = this.#options.lagging();
    let dueMs = NEVER;
    for (const answer of marked) {
      answer.marked = false;
      if (!this.#open.has(answer)) continue;
      try {
        answer.dueMs = answer.flush(nowMs, lagging);
        dueMs = Math.min(dueMs, answer.dueMs);
      } catch (error) {
        answer.crash(error);
      }
    }
    if (dueMs !== NEVER) this.#wait(dueMs - nowMs);
  };

  /** Everybody holds for the same time at most, so a timer that runs is never too late for one that comes now. */
  #wait(forMs: number): void {
    this.#held ??= this.#options.clock.after(Math.max(0, forMs), () => {
      this.#held = undefined;
      const nowMs = this.#options.clock.nowMs();
      let nextMs = NEVER;
      for (const answer of this.#open.snapshot()) {
        if (answer.dueMs <= nowMs) this.mark(answer);
        else nextMs = Math.min(nextMs, answer.dueMs);
      }
      if (nextMs !== NEVER) this.#wait(nextMs - nowMs);
    });
  }

  #tend(): void {
    this.#tending ??= this.#options.clock.after(this.#options.tendMs, () => {
      this.#tending = undefined;
      const nowMs = this.#options.clock.nowMs();
      for (const answer of this.#open.snapshot()) answer.tend(nowMs);
      if (this.#open.size > 0) this.#tend();
    });
  }
}
