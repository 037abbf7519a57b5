import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { StoreCalls } from "./calls.ts";
import type { Discovery, DiscoveryRecord, DiscoveryWatch, Registration } from "./discovery.ts";
import { Follower } from "./follower.ts";
import { requirePrefix } from "./keys.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { MAX_TTL_MS, MIN_TTL_MS } from "./store.ts";

/** What every discovery needs from outside. */
export interface DiscoveryDeps {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly patience?: Partial<Patience>;
}

/** How long things may take. */
export interface Patience {
  /** Longest wait of `register`, `update` and `watch` for a store that does not answer. */
  readonly timeLimitMs: number;
  /** How long a missing record stays after an outage: its owner needs that time to come back. */
  readonly settleMs: number;
  /** A watch that hears nothing for this long has lost its store; stores speak every two seconds at least. */
  readonly silenceMs: number;
}

/** What the supervisor's parts share. */
export interface StoreDeps extends DiscoveryDeps, Patience {
  readonly calls: StoreCalls;
  /** A watch began (1) or ceased (-1) to follow the store. */
  readonly onSynced: (by: 1 | -1) => void;
  /** A registration or a watch is closed. */
  readonly onClosed: (part: LeaseKeeper | Follower) => void;
}

/** Discovery over any store. It takes the calls and closes them. */
export function superviseStore(calls: StoreCalls, deps: DiscoveryDeps): Discovery {
  return new SupervisedStore(calls, deps);
}

class SupervisedStore implements Discovery {
  readonly #deps: StoreDeps;
  readonly #open = new Set<LeaseKeeper | Follower>();
  #synced = 0;
  #closing: Promise<void> | undefined;

  constructor(calls: StoreCalls, deps: DiscoveryDeps) {
    const patience: Patience = { timeLimitMs: 5_000, settleMs: 5_000, silenceMs: 5_000, ...deps.patience };
    const onSynced = (by: 1 | -1) => {
      this.#synced += by;
      deps.metrics.set("stator_discovery_synced", this.#synced, { store: calls.store });
    };
    this.#deps = { ...deps, ...patience, calls, onSynced, onClosed: (part) => void this.#open.delete(part) };
  }

  async register(records: readonly DiscoveryRecord[], options: { ttlMs: number }): Promise<Registration> {
    if (!(options.ttlMs >= MIN_TTL_MS && options.ttlMs <= MAX_TTL_MS)) {
      const detail = `ttlMs must be ${MIN_TTL_MS} to ${MAX_TTL_MS}, not ${options.ttlMs}`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    return this.#start(new LeaseKeeper(this.#deps, records, options.ttlMs));
  }

  async watch(prefix: string): Promise<DiscoveryWatch> {
    requirePrefix(prefix);
    return this.#start(new Follower(this.#deps, prefix));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #start<Part extends LeaseKeeper | Follower>(part: Part): Promise<Part> {
    if (this.#closing) throw new StatorError("UNAVAILABLE", { what: this.#deps.calls.place, detail: "it was closed" });
    this.#open.add(part);
    await part.open();
    return part;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#open].map((part) => part.close()));
    await this.#deps.calls.close();
  }
}
