import { StatorError } from "#lib/base/errors";

/** How many requests a worker of tensors has at once. */
export interface PlaceLimits {
  /** Those that models compute, at least 1. */
  readonly maxRunning: number;
  /** Those that wait for one of these places; one more is refused with OVERLOADED. */
  readonly maxWaiting: number;
}

/** Who waits for a place. */
interface Waiting {
  readonly enter: () => void;
}

/** The places in which models compute. They are given in the order in which they were asked for. */
export class Places {
  readonly #limits: PlaceLimits;
  readonly #waiting = new Set<Waiting>();
  #running = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  /** Places that are taken. */
  get running(): number {
    return this.#running;
  }

  /** Requests that wait for one. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Takes a place, at once or when one is free; it is given back by `leave`. Throws OVERLOADED when too many wait, unless the
   * request was in a place before: that one waits in any case. Rejects with the reason of the signal when it aborts before.
   */
  async enter({ signal, again }: { readonly signal: AbortSignal; readonly again: boolean }): Promise<void> {
    signal.throwIfAborted();
    const { maxRunning, maxWaiting } = this.#limits;
    if (this.#running < maxRunning) {
      this.#running++;
      return;
    }
    if (!again && this.#waiting.size >= maxWaiting)
      throw new StatorError("OVERLOADED", { what: "requests of tensors" });
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        enter() {
          signal.removeEventListener("abort", abort);
          resolve();
        },
      };
      const abort = () => {
        this.#waiting.delete(waiting);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.add(waiting);
    });
  }

  /** Gives a place back: to who has waited longest, if anybody waits. */
  leave(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      next.enter();
      return;
    }
    this.#running--;
  }
}
