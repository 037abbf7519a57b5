import { StatorError } from "#lib/base/errors";
import type { StoreCalls } from "./calls.ts";
import type { DiscoveryDeps, Patience, StoreDeps } from "./deps.ts";
import type { Discovery, DiscoveryRecord, DiscoveryWatch, Registration } from "./discovery.ts";
import { Follower } from "./follower.ts";
import { requirePrefix } from "./keys.ts";
import { LeaseKeeper } from "./lease-keeper.ts";
import { MAX_TTL_MS, MIN_TTL_MS } from "./store.ts";

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
    const patience: Patience = { timeLimitMs: 5_000, settleMs: 10_000, silenceMs: 5_000, ...deps.patience };
    const onSynced = (by: 1 | -1) => {
      this.#synced += by;
      deps.metrics.set("stator_discovery_synced", this.#synced, { store: calls.store });
    };
    const onClosed = (part: object) => {
      for (const one of this.#open) if (one === part) this.#open.delete(one);
    };
    this.#deps = { ...deps, ...patience, calls, onSynced, onClosed };
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
