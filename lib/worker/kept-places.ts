import { StatorError } from "#lib/base/errors";
import type { EngineCard } from "#lib/engines/engine";

/**
 * Places in an engine for requests that it is not asked for yet: while there are such, nobody else takes a place that one of
 * them will need. Else the engine alone says when it is full.
 */
export class KeptPlaces {
  readonly #most: number;
  #kept = 0;

  constructor({ maxRunningRequests, maxWaitingRequests }: EngineCard) {
    this.#most = (maxRunningRequests ?? Number.POSITIVE_INFINITY) + (maxWaitingRequests ?? 0);
  }

  /** Keeps one more. */
  keep(): void {
    this.#kept++;
  }

  /** The engine is asked for one of them, or it has ended. */
  giveBack(): void {
    this.#kept--;
  }

  /** @param open requests with the new one, @param isKept whether that is to have its place kept. Throws OVERLOADED. */
  check(open: number, isKept: boolean): void {
    if ((isKept || this.#kept > 0) && open > this.#most)
      throw new StatorError("OVERLOADED", { what: "waiting requests" });
  }
}
