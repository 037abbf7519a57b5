import type { Instruments } from "#lib/host/metrics";

/** What a process counts that publishes or watches. `store` is memory, hub, file or etcd. */
export const DISCOVERY_INSTRUMENTS = {
  stator_discovery_synced: {
    kind: "gauge",
    help: "Watches whose view follows the store now; fewer than opened means that a last view is in use.",
    labels: ["store"],
  },
  stator_discovery_outages_total: {
    kind: "counter",
    help: "Times a watch lost the store.",
    labels: ["store"],
  },
  stator_discovery_changes_total: {
    kind: "counter",
    help: "Records that watchers learned of. change: upsert, removed, kept (a removal after an outage that was taken back).",
    labels: ["store", "change"],
  },
  stator_discovery_unreadable_total: {
    kind: "counter",
    help: "Records or files that could not be read or are of an unknown kind; the value before is kept.",
    labels: ["store"],
  },
  stator_discovery_retries_total: {
    kind: "counter",
    help: "Attempts that failed and are repeated. call: lease, watch.",
    labels: ["store", "call"],
  },
  stator_discovery_lapses_total: {
    kind: "counter",
    help: "Own leases that lapsed and were granted again.",
    labels: ["store"],
  },
} as const satisfies Instruments;

/** What a process counts that serves the store to others. */
export const HUB_INSTRUMENTS = {
  stator_discovery_hub_records: { kind: "gauge", help: "Records in the served store." },
  stator_discovery_hub_bytes: { kind: "gauge", help: "Bytes of keys and values in the served store." },
  stator_discovery_hub_leases: { kind: "gauge", help: "Leases alive in the served store." },
  stator_discovery_hub_watchers: { kind: "gauge", help: "Watches open on the served store." },
  stator_discovery_hub_expired_total: { kind: "counter", help: "Leases that lapsed in the served store." },
  stator_discovery_hub_stalls_total: {
    kind: "counter",
    help: "Times the served store stood still and gave every lease its time back.",
  },
  stator_discovery_hub_refused_total: {
    kind: "counter",
    help: "Calls that the served store refused. reason: a row of the table of errors.",
    labels: ["reason"],
  },
} as const satisfies Instruments;
