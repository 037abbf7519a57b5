/** Who waits for a turn. */
export interface TurnTaker {
  /** It is its turn, until it gives it back. Not called from inside `acquire` or `release`'s caller of its own. */
  onTurn(): void;
}

/** So many may do something at a time; the others wait in the order in which they asked. */
export class Turns {
  readonly #most: number;
  readonly #having = new Set<TurnTaker>();
  readonly #waiting = new Set<TurnTaker>();

  constructor(most: number) {
    this.#most = most;
  }

  /** Those who have a turn. */
  get running(): number {
    return this.#having.size;
  }

  /** Those who wait for one. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether it has a turn now; otherwise it waits and `onTurn` tells. */
  acquire(taker: TurnTaker): boolean {
    if (this.#having.size < this.#most) {
      this.#having.add(taker);
      return true;
    }
    this.#waiting.add(taker);
    return false;
  }

  /** Gives a turn back, or does not wait any more; nothing for one who does neither. */
  release(taker: TurnTaker): void {
    this.#waiting.delete(taker);
    if (!this.#having.delete(taker)) return;
    const [next] = this.#waiting;
    if (!next) return;
    this.#waiting.delete(next);
    this.#having.add(next);
    next.onTurn();
  }
}
