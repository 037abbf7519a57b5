import { Backoff } from "#lib/base/backoff";
import { equalBytes } from "#lib/base/bytes";
import { asStatorError, type StatorError } from "#lib/base/errors";
import type { LeaseGrant } from "./calls.ts";
import { encodeRecord, type StoredRecord } from "./codec.ts";
import type { StoreDeps } from "./deps.ts";
import type { DiscoveryRecord, Registration } from "./discovery.ts";
import { Alarm, withLimit } from "./patience.ts";

interface Waiter {
  readonly version: number;
  resolve(): void;
  reject(error: StatorError): void;
}

/**
 * One lease and what is published under it. A single loop makes all calls, one after the other: grant, put and remove
 * what differs, keep alive at a third of the time to live. When the lease is gone it starts over with what is wanted by
 * then. No call outlives a third of the time to live.
 */
export class LeaseKeeper implements Registration {
  readonly #deps: StoreDeps;
  readonly #ttlMs: number;
  readonly #alarm: Alarm;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  readonly #lapseCalls = new Set<() => void>();
  readonly #waiters = new Set<Waiter>();
  #wanted: ReadonlyMap<string, StoredRecord>;
  #version = 1;
  /** What the store has under the present lease. */
  #published = new Map<string, StoredRecord>();
  #publishedVersion = 0;
  #lease: LeaseGrant | undefined;
  /** The store's incarnation at the lease before. */
  #incarnation: bigint | undefined;
  #aliveMs = 0;
  #awakeMs: number;
  /** This process stood still for longer than its lease lives: others may have seen it as dead. */
  #slept = false;
  #lastError: StatorError | undefined;
  #closing: Promise<void> | undefined;
  #running: Promise<void> | undefined;

  constructor(deps: StoreDeps, records: readonly DiscoveryRecord[], ttlMs: number) {
    this.#deps = deps;
    this.#ttlMs = ttlMs;
    this.#alarm = new Alarm(deps.clock);
    this.#backoff = new Backoff({ firstMs: 100, longestMs: Math.min(2_000, ttlMs / 3) }, deps.chance);
    this.#awakeMs = deps.clock.nowMs();
    this.#wanted = encode(records);
  }

  /** Publishes for the first time; afterwards it holds on by itself. */
  async open(): Promise<void> {
    this.#running = this.#run();
    try {
      await this.#settled(this.#version);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async update(records: readonly DiscoveryRecord[]): Promise<void> {
    this.#wanted = encode(records);
    this.#version++;
    this.#alarm.ring();
    await this.#settled(this.#version);
  }

  onLapse(call: () => void): void {
    this.#lapseCalls.add(call);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Resolves when this version is visible; rejects when the store refuses it or is not reached in time. */
  #settled(version: number): Promise<void> {
    const { calls, clock, timeLimitMs } = this.#deps;
    const what = calls.place;
    return withLimit({ clock, limitMs: timeLimitMs, what, parent: this.#abort.signal }, () => {
      return new Promise<void>((resolve, reject) => this.#waiters.add({ version, resolve, reject }));
    }).catch((error: unknown) => {
      // The reason why it was not reached says more than the time that it took.
      throw this.#lastError && asStatorError(error).reason === "UNAVAILABLE" ? this.#lastError : error;
    });
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        await this.#advance();
        this.#backoff.reset();
        this.#lastError = undefined;
      } catch (error) {
        await this.#failed(asStatorError(error));
      }
      this.#noticeSleep();
    }
  }

  /** The next thing to do, or a wait when nothing is due. */
  async #advance(): Promise<void> {
    const dueMs = this.#aliveMs + this.#ttlMs / 3 - this.#deps.clock.nowMs();
    if (!this.#lease) await this.#grant();
    else if (dueMs <= 0) await this.#keepAlive(this.#lease);
    else if (this.#publishedVersion !== this.#version) await this.#publish(this.#lease);
    else await this.#alarm.wait(dueMs);
  }

  async #failed(error: StatorError): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const { calls, log, metrics } = this.#deps;
    if (error.reason === "NOT_FOUND" && this.#lease) {
      this.#lease = undefined;
      log.warn("lease lost", { store: calls.place });
      return;
    }
    metrics.add("stator_discovery_retries_total", 1, { store: calls.store, call: "lease" });
    log.debug("lease call failed", { store: calls.place, error });
    this.#lastError = error;
    await this.#alarm.wait(this.#backoff.nextMs());
  }

  #noticeSleep(): void {
    const nowMs = this.#deps.clock.nowMs();
    if (nowMs - this.#awakeMs > this.#ttlMs) this.#slept = true;
    this.#awakeMs = nowMs;
  }

  async #grant(): Promise<void> {
    const lease = await this.#call((signal) => this.#deps.calls.grant(this.#ttlMs, signal));
    const { calls, clock, log, metrics } = this.#deps;
    this.#lease = lease;
    this.#aliveMs = clock.nowMs();
    this.#published = new Map();
    this.#publishedVersion = 0;
    // A store that forgot everything judged nobody: only an owner that stood still itself has lapsed then.
    const lapsed = this.#incarnation !== undefined && (this.#slept || this.#incarnation === lease.incarnation);
    this.#incarnation = lease.incarnation;
    this.#slept = false;
    if (!lapsed) return;
    metrics.add("stator_discovery_lapses_total", 1, { store: calls.store });
    log.warn("lease had lapsed and was granted again", { store: calls.place });
    for (const call of this.#lapseCalls) {
      try {
        call();
      } catch (error) {
        log.error("lapse listener failed", { error });
      }
    }
  }

  async #publish(lease: LeaseGrant): Promise<void> {
    const version = this.#version;
    const wanted = this.#wanted;
    const put = [...wanted.values()].filter(({ key, bytes }) => {
      const before = this.#published.get(key);
      return !before || !equalBytes(before.bytes, bytes);
    });
    const gone = [...this.#published.keys()].filter((key) => !wanted.has(key));
    const { calls } = this.#deps;
    try {
      if (put.length > 0) await this.#call((signal) => calls.put(lease.leaseId, put, signal));
      if (gone.length > 0) await this.#call((signal) => calls.remove(lease.leaseId, gone, signal));
      this.#published = new Map(wanted);
      this.#finish(version, undefined);
    } catch (error) {
      const refused = asStatorError(error);
      if (refused.reason === "NOT_FOUND" || refused.row.retry !== "never") throw refused;
      this.#deps.log.error("store refuses the records", { store: calls.place, error: refused });
      this.#finish(version, refused);
    }
  }

  #finish(version: number, error: StatorError | undefined): void {
    this.#publishedVersion = version;
    for (const waiter of this.#waiters) {
      if (waiter.version > version) continue;
      this.#waiters.delete(waiter);
      if (error) waiter.reject(error);
      else waiter.resolve();
    }
  }

  async #keepAlive(lease: LeaseGrant): Promise<void> {
    const sentMs = this.#deps.clock.nowMs();
    await this.#call((signal) => this.#deps.calls.keepAlive(lease.leaseId, signal));
    this.#aliveMs = sentMs;
    this.#noticeSleep();
    // The store still has the lease: nobody saw this process as dead.
    this.#slept = false;
  }

  #call<Result>(run: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const { calls, clock } = this.#deps;
    const limitMs = Math.min(5_000, this.#ttlMs / 3 - 50);
    return withLimit({ clock, limitMs, what: calls.place, parent: this.#abort.signal }, run);
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    this.#alarm.ring();
    await this.#running;
    if (this.#lease) await this.#revoke(this.#lease);
    this.#deps.onClosed(this);
  }

  async #revoke(lease: LeaseGrant): Promise<void> {
    const { calls, clock, log } = this.#deps;
    const limit = { clock, limitMs: 1_000, what: calls.place, parent: new AbortController().signal };
    await withLimit(limit, (signal) => calls.revoke(lease.leaseId, signal)).catch((error: unknown) => {
      log.debug("lease not revoked; it lapses by itself", { store: calls.place, error });
    });
  }
}

function encode(records: readonly DiscoveryRecord[]): ReadonlyMap<string, StoredRecord> {
  return new Map(records.map((record) => [record.key, encodeRecord(record)]));
}
