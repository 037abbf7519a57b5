import type { EndReason } from "#lib/engines/engine";
import type { Instruments, Labels, Metrics } from "#lib/host/metrics";
import type { BlockStore } from "#lib/transfer/block-store";
import type { Board } from "#lib/worker/board";
import type { KvSource } from "#lib/worker/kv-source";
import type { WorkerState } from "./record.ts";
import { countState } from "./state-gauge.ts";

/** What a worker counts. The `vllm:` gauges let pickers that know vLLM schedule this worker unmodified. */
export const WORKER_INSTRUMENTS = {
  stator_worker_state: { kind: "gauge", help: "1 for the state the worker is in.", labels: ["state"] },
  stator_worker_links: { kind: "gauge", help: "Open links." },
  stator_worker_open_requests: { kind: "gauge", help: "Requests that have not ended." },
  stator_worker_requests_total: {
    kind: "counter",
    help: "Requests that ended, by reason: end, stop_token, length, cancelled, done, failed; refused ones never ran.",
    labels: ["reason"],
  },
  stator_worker_steps: { kind: "gauge", help: "Number of the last engine step." },
  stator_worker_step_duration_us: { kind: "gauge", help: "Duration of the last engine step." },
  stator_worker_used_blocks: {
    kind: "gauge",
    help: "KV blocks in use: by requests, by sessions that others may fetch, and by blocks that come in.",
  },
  stator_worker_cached_blocks: {
    kind: "gauge",
    help: "KV blocks that nobody uses and that are kept; where the engine lends its blocks.",
  },
  stator_worker_total_blocks: { kind: "gauge", help: "KV blocks of the device pool." },
  stator_worker_kv_events_total: {
    kind: "counter",
    help: "Events of the cache, by kind: stored, removed, cleared.",
    labels: ["kind"],
  },
  stator_worker_kv_refused_total: {
    kind: "counter",
    help: "Things that the engine told of its cache and that cannot be: blocks behind one that was never stored, or without tokens.",
  },
  stator_worker_kv_overflows_total: {
    kind: "counter",
    help: "Times that the engine told of more blocks than it has, and its cache was told to be cleared.",
  },
  stator_worker_kv_behind_total: { kind: "counter", help: "Subscribers of events that were too slow." },
  stator_worker_kv_subscribers: { kind: "gauge", help: "Subscribers of events." },
  stator_worker_kv_blocks: { kind: "gauge", help: "Blocks that the events say are kept." },
  stator_worker_kv_ring_bytes: { kind: "gauge", help: "Memory of events that can be replayed." },
  "vllm:num_requests_running": { kind: "gauge", help: "Requests that run.", labels: ["model_name"] },
  "vllm:num_requests_waiting": { kind: "gauge", help: "Requests that wait.", labels: ["model_name"] },
  "vllm:kv_cache_usage_perc": { kind: "gauge", help: "Share of KV blocks in use, 0 to 1.", labels: ["model_name"] },
} as const satisfies Instruments;

/** What a scrape looks at. */
export interface Scraped {
  /** Also before there is an engine. */
  readonly state: WorkerState["state"];
  /** Open ones. */
  readonly links: number;
  /** The board, the name of its model, and its blocks where they can move; undefined while it loads. */
  readonly served:
    | { readonly board: Board; readonly model: string; readonly blocks: Pick<BlockStore, "places"> | undefined }
    | undefined;
  /** The events of its cache. */
  readonly kvSource: KvSource;
}

/** Copies what a worker has counted into its instruments at every scrape. Returns what ends it. */
export function scrapeWorker(metrics: Metrics, look: () => Scraped): () => void {
  const seen = new Map<string, number>();
  const copy = (name: keyof typeof WORKER_INSTRUMENTS, total: number, labels: Labels = {}): void => {
    const key = [name, ...Object.values(labels)].join(" ");
    metrics.add(name, total - (seen.get(key) ?? 0), labels);
    seen.set(key, total);
  };
  const count = (reason: EndReason | "refused", total: number): void => {
    copy("stator_worker_requests_total", total, { reason });
  };
  const countEvents = ({ counters, readers, heldBlocks, ringBytes }: KvSource): void => {
    for (const [kind, total] of Object.entries(counters.events)) copy("stator_worker_kv_events_total", total, { kind });
    copy("stator_worker_kv_refused_total", counters.refused);
    copy("stator_worker_kv_overflows_total", counters.overflows);
    copy("stator_worker_kv_behind_total", counters.behind);
    metrics.set("stator_worker_kv_subscribers", readers);
    metrics.set("stator_worker_kv_blocks", heldBlocks);
    metrics.set("stator_worker_kv_ring_bytes", ringBytes);
  };
  return metrics.onScrape(() => {
    const { state, links, served, kvSource } = look();
    countState(metrics, state);
    metrics.set("stator_worker_links", links);
    metrics.set("stator_worker_open_requests", served?.board.open ?? 0);
    countEvents(kvSource);
    if (!served) return;
    const { board, model, blocks } = served;
    for (const [reason, total] of Object.entries(board.ended)) count(reason as EndReason, total);
    count("refused", board.refused);
    const last = board.metrics;
    if (!last) return;
    const labels = { model_name: model };
    metrics.set("stator_worker_steps", last.step);
    metrics.set("stator_worker_step_duration_us", last.durationUs);
    // Sessions and blocks that come in change it between steps.
    metrics.set("stator_worker_used_blocks", blocks?.places.used ?? last.usedBlocks);
    if (blocks) metrics.set("stator_worker_cached_blocks", blocks.places.cached);
    metrics.set("stator_worker_total_blocks", last.totalBlocks);
    metrics.set("vllm:num_requests_running", last.runningRequests, labels);
    metrics.set("vllm:num_requests_waiting", last.waitingRequests, labels);
    // Of blocks that nobody counts there is no share.
    if (last.totalBlocks > 0) metrics.set("vllm:kv_cache_usage_perc", last.usedBlocks / last.totalBlocks, labels);
  });
}
