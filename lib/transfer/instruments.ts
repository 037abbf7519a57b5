import type { Instruments } from "#lib/host/metrics";

const SECONDS_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** What a worker counts of the blocks that come and go. */
export const TRANSFER_INSTRUMENTS = {
  stator_transfer_sessions: { kind: "gauge", help: "Prefills whose blocks are kept for others." },
  stator_transfer_pinned_blocks: { kind: "gauge", help: "KV blocks that are kept for others, each counted once." },
  stator_transfer_waiting: { kind: "gauge", help: "Workers that wait in rooms for a prefill that has not begun." },
  stator_transfer_page_locked_bytes: {
    kind: "gauge",
    help: "Memory that is pinned for copies of KV blocks to a device and from it.",
  },
  stator_transfer_rungs: {
    kind: "gauge",
    help: "Ways by which this worker can read blocks of others: 1 for each that works here, 0 for the others.",
    labels: ["rung"],
  },
  stator_transfer_sessions_total: {
    kind: "counter",
    help: "Sessions that are over, by end: pulled, released, expired, closed; empty ones never kept a block.",
    labels: ["end"],
  },
  stator_transfer_given_blocks_total: {
    kind: "counter",
    help: "KV blocks that were given to others, by rung.",
    labels: ["rung"],
  },
  stator_transfer_blocks_total: {
    kind: "counter",
    help: "KV blocks that came from others, by rung.",
    labels: ["rung"],
  },
  stator_transfer_bytes_total: { kind: "counter", help: "Bytes of these blocks, by rung.", labels: ["rung"] },
  stator_transfer_queue_seconds: {
    kind: "histogram",
    help: "Time from a request's wish to the first block asked for.",
    buckets: SECONDS_BUCKETS,
  },
  stator_transfer_seconds: {
    kind: "histogram",
    help: "Time from then until the last block is in the engine, by rung.",
    labels: ["rung"],
    buckets: SECONDS_BUCKETS,
  },
  stator_transfer_failures_total: {
    kind: "counter",
    help: "Fetches that brought less than there was, by row of the error table: the rest was computed here.",
    labels: ["reason"],
  },
  stator_transfer_demotions_total: {
    kind: "counter",
    help: "Ways to a worker that failed, so that the next one was taken.",
    labels: ["rung"],
  },
} as const satisfies Instruments;
