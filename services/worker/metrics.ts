import type { Instruments } from "#lib/host/metrics";

/** What a worker counts. The `vllm:` gauges let pickers that know vLLM schedule this worker unmodified. */
export const WORKER_INSTRUMENTS = {
  stator_worker_state: { kind: "gauge", help: "1 for the state the worker is in.", labels: ["state"] },
  stator_worker_links: { kind: "gauge", help: "Open links." },
  stator_worker_open_requests: { kind: "gauge", help: "Requests that have not ended." },
  stator_worker_steps: { kind: "gauge", help: "Number of the last engine step." },
  stator_worker_step_duration_us: { kind: "gauge", help: "Duration of the last engine step." },
  stator_worker_used_blocks: { kind: "gauge", help: "KV blocks in use by requests." },
  stator_worker_total_blocks: { kind: "gauge", help: "KV blocks of the device pool." },
  "vllm:num_requests_running": { kind: "gauge", help: "Requests that run.", labels: ["model_name"] },
  "vllm:num_requests_waiting": { kind: "gauge", help: "Requests that wait.", labels: ["model_name"] },
  "vllm:kv_cache_usage_perc": { kind: "gauge", help: "Share of KV blocks in use, 0 to 1.", labels: ["model_name"] },
} as const satisfies Instruments;
