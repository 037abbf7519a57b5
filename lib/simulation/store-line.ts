import { type Chance, pick } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { StoreCalls } from "#lib/discovery/calls";
import { memoryCalls } from "#lib/discovery/memory";
import type { SimulatedStore } from "./store.ts";

/** Longest way between a process and the store. */
const MOST_DELAY_MS = 8;

/** The way of one process to the store. While it is down calls get no answer, and news are lost with their stream. */
export class StoreLine {
  readonly #store: SimulatedStore;
  readonly #own: { readonly clock: Clock; readonly chance: Chance };
  #isUp = true;
  #lease: bigint | undefined;

  /** `own`: of the process; what the store says waits for it when it stands still. */
  constructor(store: SimulatedStore, own: { readonly clock: Clock; readonly chance: Chance }) {
    this.#store = store;
    this.#own = own;
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  /** Nothing passes any more. */
  take(): void {
    this.#isUp = false;
  }

  /** What comes from now on passes. */
  give(): void {
    this.#isUp = true;
  }

  /** The store ends the lease of the process, and says nothing. */
  loseLease(): void {
    if (this.#lease !== undefined) this.#store.host.revoke(this.#lease);
  }

  /** The store as the process reaches it. */
  get calls(): StoreCalls {
    // Of the store as it is when the call arrives.
    const now = () => memoryCalls(this.#store.host);
    const { store, place } = now();
    return {
      store,
      place,
      reach: (signal) => this.#over(signal, () => now().reach(signal)),
      grant: (ttlMs, signal) => this.#over(signal, () => this.#grant(ttlMs, signal)),
      keepAlive: (leaseId, signal) => this.#over(signal, () => now().keepAlive(leaseId, signal)),
      revoke: (leaseId, signal) => this.#over(signal, () => now().revoke(leaseId, signal)),
      put: (leaseId, records, signal) => this.#over(signal, () => now().put(leaseId, records, signal)),
      remove: (leaseId, keys, signal) => this.#over(signal, () => now().remove(leaseId, keys, signal)),
      watch: (prefix, resume, signal) => this.#news(now().watch(prefix, resume, signal), signal),
      close: async () => {},
    };
  }

  async #grant(ttlMs: number, signal: AbortSignal) {
    const grant = await memoryCalls(this.#store.host).grant(ttlMs, signal);
    this.#lease = grant.leaseId;
    return grant;
  }

  /** There and back; either way may be lost. */
  async #over<Answer>(signal: AbortSignal, call: () => Promise<Answer>): Promise<Answer> {
    await this.#pass(this.#store.clock, signal);
    const answer = await call();
    await this.#pass(this.#own.clock, signal);
    return answer;
  }

  async *#news<News>(all: AsyncIterable<News>, signal: AbortSignal): AsyncGenerator<News> {
    for await (const news of all) {
      await this.#pass(this.#own.clock, signal);
      yield news;
    }
  }

  /** One way, by the clock of the receiver. What is lost settles never; whoever waits has a limit, and then it is told. */
  #pass(clock: Clock, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => reject(new StatorError("CANCELLED"));
      if (signal.aborted) return end();
      signal.addEventListener("abort", end);
      clock.after(pick(this.#own.chance, MOST_DELAY_MS + 1), () => {
        if (!this.#isUp) return;
        signal.removeEventListener("abort", end);
        resolve();
      });
    });
  }
}
