import type { Chance } from "#lib/base/chance";
import type { Clock, Timer } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import { MAX_RECORD_BYTES, type StoredRecord } from "./codec.ts";
import { requireKey, requirePrefix } from "./keys.ts";
import {
  createStore,
  DEFAULT_LIMITS,
  list,
  pull,
  type StoreDelta,
  type StoreEvent,
  type StoreLimits,
  type StoreState,
  step,
} from "./store.ts";

/** What a store needs from outside. */
export interface StoreHostOptions {
  /** By which leases live. */
  readonly clock: Clock;
  /** Draws the incarnation and the ids of leases. */
  readonly chance: Chance;
  /** Told of leases that lapsed, and when the store stood still. */
  readonly log: Log;
  /** Holds `HUB_INSTRUMENTS`. */
  readonly metrics: Metrics;
  /** What differs from {@link DEFAULT_LIMITS}. */
  readonly limits?: Partial<StoreLimits>;
  /** A watch that has nothing to say says so this often. */
  readonly heartbeatMs?: number;
}

const TICK_MS = 250;

/** The store core with a clock: what `memory` uses directly and the hub serves. */
export class StoreHost {
  readonly #state: StoreState;
  readonly #options: StoreHostOptions;
  readonly #heartbeatMs: number;
  /** What wakes a watch that waits. */
  readonly #sleepers = new Map<number, () => void>();
  readonly #endScrape: () => void;
  #nextWatcher = 1;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: StoreHostOptions) {
    this.#options = options;
    this.#heartbeatMs = options.heartbeatMs ?? 1_500;
    this.#state = createStore(options.chance.id(), options.clock.nowMs(), { ...DEFAULT_LIMITS, ...options.limits });
    this.#endScrape = options.metrics.onScrape(() => {
      options.metrics.set("stator_discovery_hub_records", this.#state.records.size);
      options.metrics.set("stator_discovery_hub_bytes", this.#state.bytes);
      options.metrics.set("stator_discovery_hub_leases", this.#state.leases.size);
      options.metrics.set("stator_discovery_hub_watchers", this.#state.watchers.size);
    });
    this.#tick();
  }

  /** Drawn when the store started. */
  get incarnation(): bigint {
    return this.#state.incarnation;
  }

  /** Revision of the last change. */
  get revision(): bigint {
    return this.#state.revision;
  }

  /** Opens a lease. */
  grant(ttlMs: number): bigint {
    const leaseId = this.#options.chance.id();
    this.#step({ kind: "grant", leaseId, ttlMs });
    return leaseId;
  }

  /** Prolongs a lease and returns its time to live. Throws NOT_FOUND when it lapsed. */
  keepAlive(leaseId: bigint): number {
    this.#step({ kind: "keepAlive", leaseId });
    return this.#state.leases.get(leaseId)!.ttlMs;
  }

  /** Ends a lease; one that is gone already is no error. */
  revoke(leaseId: bigint): void {
    this.#step({ kind: "revoke", leaseId });
  }

  /** Writes all records or none. Keeps them. Throws INVALID_ARGUMENT, NOT_FOUND (the lease), OVERLOADED. */
  put(leaseId: bigint, records: readonly StoredRecord[]): void {
    for (const { key, bytes } of records) {
      requireKey(key);
      if (bytes.byteLength <= MAX_RECORD_BYTES) continue;
      const detail = `The discovery record ${key} has ${bytes.byteLength} bytes; the limit is ${MAX_RECORD_BYTES}`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    this.#step({ kind: "put", leaseId, records });
  }

  /** Removes those of the keys that the lease holds; lease 0 removes whoever holds them. */
  remove(leaseId: bigint, keys: readonly string[]): void {
    this.#step({ kind: "remove", leaseId, keys });
  }

  /** The records under a prefix, in key order, each with the revision of its last change. */
  list(prefix: string): { record: StoredRecord; revision: bigint }[] {
    requirePrefix(prefix);
    this.#step({ kind: "tick" });
    return list(this.#state, prefix);
  }

  /**
   * Follows a prefix until the signal aborts or the store closes. A slow reader costs nothing: what it missed is joined
   * when it asks for more. Throws OVERLOADED at the limit.
   */
  async *watch(
    prefix: string,
    after: { revision: bigint; incarnation: bigint },
    signal: AbortSignal,
  ): AsyncGenerator<StoreDelta> {
    requirePrefix(prefix);
    const watcherId = this.#nextWatcher++;
    const { revision: afterRevision, incarnation } = after;
    this.#step({ kind: "watch", watcherId, prefix, afterRevision, incarnation });
    try {
      while (!signal.aborted && !this.#closed) {
        const delta = pull(this.#state, watcherId);
        if (delta) yield delta;
        else if (!(await this.#sleep(watcherId, signal)) && !signal.aborted && !this.#closed) {
          yield pull(this.#state, watcherId) ?? this.#heartbeat();
        }
      }
    } finally {
      this.#step({ kind: "unwatch", watcherId });
    }
  }

  /** Ends every watch. Leases and records are forgotten with the object. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#endScrape();
    for (const wake of [...this.#sleepers.values()]) wake();
  }

  #heartbeat(): StoreDelta {
    return { snapshot: false, upserts: [], removed: [], revision: this.#state.revision };
  }

  /** True when woken, false when the heartbeat is due. */
  #sleep(watcherId: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (woken: boolean) => {
        timer.cancel();
        signal.removeEventListener("abort", wake);
        this.#sleepers.delete(watcherId);
        resolve(woken);
      };
      const wake = () => end(true);
      const timer = this.#options.clock.after(this.#heartbeatMs, () => end(false));
      signal.addEventListener("abort", wake);
      this.#sleepers.set(watcherId, wake);
    });
  }

  #tick(): void {
    this.#step({ kind: "tick" });
    this.#timer = this.#options.clock.after(TICK_MS, () => this.#tick());
  }

  #step(event: StoreEvent): void {
    const { clock, log, metrics } = this.#options;
    let refused: StatorError | undefined;
    for (const effect of step(this.#state, event, clock.nowMs())) {
      if (effect.kind === "wake") this.#sleepers.get(effect.watcherId)?.();
      else if (effect.kind === "refused") refused = effect.error;
      else if (effect.kind === "expired") {
        metrics.add("stator_discovery_hub_expired_total");
        log.info("lease lapsed", { leaseId: effect.leaseId, records: effect.records });
      } else {
        metrics.add("stator_discovery_hub_stalls_total");
        log.warn("store stood still", { byMs: Math.round(effect.byMs) });
      }
    }
    if (!refused) return;
    metrics.add("stator_discovery_hub_refused_total", 1, { reason: refused.reason });
    throw refused;
  }
}
