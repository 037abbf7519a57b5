import { Backoff } from "#lib/base/backoff";
import type { Timer } from "#lib/base/clock";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { ResumePoint, StoreNews } from "./calls.ts";
import type { StoreDeps } from "./deps.ts";
import type { DiscoveryChange, DiscoveryRecord, DiscoveryWatch } from "./discovery.ts";
import { Alarm, withLimit } from "./patience.ts";
import { createView, step, type ViewEvent, type ViewState } from "./view.ts";

/** One watch: opens the store's stream again whenever it ends or falls silent, and feeds the view. */
export class Follower implements DiscoveryWatch {
  readonly #deps: StoreDeps;
  readonly #prefix: string;
  readonly #view: ViewState;
  readonly #subscribers = new Set<(change: DiscoveryChange) => void>();
  readonly #abort = new AbortController();
  readonly #alarm: Alarm;
  readonly #backoff: Backoff;
  #resume: ResumePoint | undefined;
  #tick: Timer | undefined;
  #lastError: StatorError | undefined;
  #first: { resolve: () => void; reject: (error: StatorError) => void } | undefined;
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(deps: StoreDeps, prefix: string) {
    this.#deps = deps;
    this.#prefix = prefix;
    this.#view = createView(deps.settleMs);
    this.#alarm = new Alarm(deps.clock);
    this.#backoff = new Backoff({ firstMs: 100, longestMs: 2_000 }, deps.chance);
  }

  get records(): ReadonlyMap<string, DiscoveryRecord> {
    return this.#view.records;
  }

  get synced(): boolean {
    return this.#view.synced;
  }

  /** Resolves when the first view is complete. */
  async open(): Promise<void> {
    const { calls, clock, timeLimitMs } = this.#deps;
    const first = new Promise<void>((resolve, reject) => {
      this.#first = { resolve, reject };
    });
    this.#running = this.#run();
    try {
      await withLimit({ clock, limitMs: timeLimitMs, what: calls.place, parent: this.#abort.signal }, () => first);
    } catch (error) {
      await this.close();
      throw this.#lastError ?? error;
    }
  }

  subscribe(call: (change: DiscoveryChange) => void): () => void {
    this.#subscribers.add(call);
    this.#tell(call, { upserts: [...this.records.values()], removed: [], synced: this.synced });
    return () => void this.#subscribers.delete(call);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        await this.#follow();
        this.#lastError = new StatorError("UNAVAILABLE", { what: this.#deps.calls.place, detail: "the watch ended" });
      } catch (error) {
        this.#lastError = asStatorError(error);
      }
      if (this.#abort.signal.aborted) return;
      this.#lost(this.#lastError);
      if (this.#first && this.#lastError.row.retry === "never") this.#first.reject(this.#lastError);
      await this.#alarm.wait(this.#backoff.nextMs());
    }
  }

  /** One stream, from its opening to its end. */
  async #follow(): Promise<void> {
    const { calls, clock, silenceMs } = this.#deps;
    const abort = new AbortController();
    const end = () => abort.abort();
    this.#abort.signal.addEventListener("abort", end);
    const news = calls.watch(this.#prefix, this.#resume, abort.signal)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const limit = { clock, limitMs: silenceMs, what: calls.place, parent: this.#abort.signal };
        const next = await withLimit(limit, () => news.next());
        if (next.done) return;
        this.#hear(next.value);
      }
    } finally {
      this.#abort.signal.removeEventListener("abort", end);
      abort.abort();
      // Not awaited: a store that hangs may hang here, too.
      news.return?.()?.catch(() => {});
    }
  }

  #hear(news: StoreNews): void {
    this.#backoff.reset();
    const { upserts, removed } = news;
    this.#resume = news.resume;
    this.#apply(news.snapshot ? { kind: "snapshot", records: upserts } : { kind: "change", upserts, removed });
    this.#first?.resolve();
    this.#first = undefined;
  }

  #lost(error: StatorError): void {
    const { calls, log, metrics } = this.#deps;
    metrics.add("stator_discovery_retries_total", 1, { store: calls.store, call: "watch" });
    if (!this.#view.synced) {
      log.debug("store still lost", { store: calls.place, error });
      return;
    }
    metrics.add("stator_discovery_outages_total", 1, { store: calls.store });
    log.warn("store lost, serving from the last view", { store: calls.place, records: this.records.size, error });
    this.#apply({ kind: "lost" });
  }

  #apply(event: ViewEvent): void {
    const { calls, clock, log, metrics, onSynced } = this.#deps;
    const before = this.#view.synced;
    const again = this.#view.started && !before;
    const effects = step(this.#view, event, clock.nowMs());
    const store = calls.store;
    if (before !== this.#view.synced) onSynced(this.#view.synced ? 1 : -1);
    if (again && this.#view.synced) log.info("store found again", { store: calls.place, records: this.records.size });
    if (effects.unreadable > 0) {
      metrics.add("stator_discovery_unreadable_total", effects.unreadable, { store });
      log.debug("unreadable records left out", { store: calls.place, records: effects.unreadable });
    }
    if (effects.kept > 0) metrics.add("stator_discovery_changes_total", effects.kept, { store, change: "kept" });
    this.#tick?.cancel();
    const dueMs = effects.tickAtMs;
    if (dueMs !== undefined) this.#tick = clock.after(dueMs - clock.nowMs(), () => this.#apply({ kind: "tick" }));
    if (!effects.change) return;
    const { upserts, removed } = effects.change;
    if (upserts.length > 0) metrics.add("stator_discovery_changes_total", upserts.length, { store, change: "upsert" });
    if (removed.length > 0) metrics.add("stator_discovery_changes_total", removed.length, { store, change: "removed" });
    for (const call of [...this.#subscribers]) this.#tell(call, effects.change);
  }

  #tell(call: (change: DiscoveryChange) => void, change: DiscoveryChange): void {
    try {
      call(change);
    } catch (error) {
      this.#deps.log.error("discovery subscriber failed", { error });
    }
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    this.#alarm.ring();
    await this.#running;
    // What was being heard may have set it once more.
    this.#tick?.cancel();
    if (this.#view.synced) this.#deps.onSynced(-1);
    this.#subscribers.clear();
    this.#deps.onClosed(this);
  }
}
