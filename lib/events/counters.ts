import type { Metrics } from "#lib/host/metrics";
import type { KvApplied, KvChange, KvKnowledge } from "#lib/kv/event";
import type { EVENTS_INSTRUMENTS } from "./instruments.ts";
import type { Turns } from "./turns.ts";

const STATES: readonly KvKnowledge["state"][] = ["none", "recovering", "live", "untrusted"];

type Name = keyof typeof EVENTS_INSTRUMENTS;

/** What all ranks of a follower count together, copied into instruments at a scrape. */
export class EventCounters {
  /** By instrument and value of its labels. */
  readonly #counts = new Map<string, { readonly name: Name; readonly labels: Record<string, string>; total: number }>();
  readonly #told = new Map<string, number>();
  readonly #applied = {
    stored: { ok: 0, absent: 0, parent_unknown: 0 },
    removed: { ok: 0, absent: 0, parent_unknown: 0 },
    cleared: { ok: 0, absent: 0, parent_unknown: 0 },
  };

  /** A change was applied. */
  applied({ kind }: KvChange, { removed, absent, parentUnknown }: KvApplied): void {
    const outcome = parentUnknown ? "parent_unknown" : absent > 0 && removed === 0 ? "absent" : "ok";
    this.#applied[kind][outcome]++;
  }

  /** Something of an instrument happened. */
  count(name: Name, labels: Record<string, string> = {}, by = 1): void {
    const key = `${name} ${Object.values(labels).join(" ")}`;
    const row = this.#counts.get(key);
    if (row) row.total += by;
    else this.#counts.set(key, { name, labels, total: by });
  }

  /** Copies all of it, and how the ranks stand. */
  print(metrics: Metrics, known: readonly KvKnowledge[], turns: Turns): void {
    for (const [kind, outcomes] of Object.entries(this.#applied)) {
      for (const [outcome, total] of Object.entries(outcomes)) {
        this.#tell(metrics, "stator_events_applied_total", { labels: { kind, outcome }, total });
      }
    }
    for (const { name, labels, total } of this.#counts.values()) this.#tell(metrics, name, { labels, total });
    for (const state of STATES) {
      metrics.set("stator_events_ranks", known.filter((each) => each.state === state).length, { state });
    }
    metrics.set("stator_events_lag_ms", Math.max(0, ...known.map(({ lagMs = 0 }) => lagMs)));
    metrics.set(
      "stator_events_behind",
      known.reduce((sum, { behind }) => sum + behind, 0),
    );
    metrics.set("stator_events_recovering", turns.running);
    metrics.set("stator_events_queued", turns.waiting);
  }

  #tell(metrics: Metrics, name: Name, { labels, total }: { labels: Record<string, string>; total: number }): void {
    const key = `${name} ${Object.values(labels).join(" ")}`;
    const told = this.#told.get(key) ?? 0;
    if (total > told) metrics.add(name, total - told, labels);
    this.#told.set(key, total);
  }
}
