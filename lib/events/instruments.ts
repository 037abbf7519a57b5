import type { Instruments } from "#lib/host/metrics";

/** What whoever follows the events of workers counts. Nothing is counted per event: own counters are copied at a scrape. */
export const EVENTS_INSTRUMENTS = {
  stator_events_applied_total: {
    kind: "counter",
    help: "Changes of caches that were applied, by kind (stored, removed, cleared) and outcome: ok, absent (nothing of it was there), parent_unknown",
    labels: ["kind", "outcome"],
  },
  stator_events_dropped_total: {
    kind: "counter",
    help: "Events that came and were not applied: stale, gap (behind one), early (before an answer), unreadable",
    labels: ["why"],
  },
  stator_events_gaps_total: { kind: "counter", help: "Times that events were missing" },
  stator_events_recoveries_total: {
    kind: "counter",
    help: "Times that a rank was caught up with, by way: snapshot, replay",
    labels: ["way"],
  },
  stator_events_failures_total: { kind: "counter", help: "Subscriptions that ended early or brought nothing" },
  stator_events_faults_total: {
    kind: "counter",
    help: "Things that cannot be, told by workers: parent_unknown, scope, incarnation, ids_back, order",
    labels: ["fault"],
  },
  stator_events_ranks: {
    kind: "gauge",
    help: "Ranks that are followed, by how well they are known: none, recovering, live, untrusted",
    labels: ["state"],
  },
  stator_events_lag_ms: { kind: "gauge", help: "Largest time that a last event took from its worker, over all ranks" },
  stator_events_behind: {
    kind: "gauge",
    help: "Events that workers have told of and that are not applied, over all ranks",
  },
  stator_events_recovering: { kind: "gauge", help: "Ranks that catch up now" },
  stator_events_queued: { kind: "gauge", help: "Ranks that wait for their turn to catch up" },
} as const satisfies Instruments;
