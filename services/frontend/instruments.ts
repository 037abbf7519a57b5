import type { Instruments } from "#lib/host/metrics";

const LATENCY_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** What a frontend counts, the same for all of its doors. Routes and outcomes are closed sets; nothing is counted per token. */
export const FRONTEND_INSTRUMENTS = {
  stator_frontend_requests_total: {
    kind: "counter",
    help: "Requests by route and outcome: ok, caller_error, server_error, aborted (the client left), slow_client",
    labels: ["route", "outcome"],
  },
  stator_frontend_errors_total: {
    kind: "counter",
    help: "Errors that were answered, by row of the error table",
    labels: ["route", "reason"],
  },
  stator_frontend_active_requests: { kind: "gauge", help: "Requests that are being answered" },
  stator_frontend_bytes_total: {
    kind: "counter",
    help: "Bytes of requests that are over: in, their bodies; out, what they were answered",
    labels: ["route", "direction"],
  },
  stator_frontend_open_streams: {
    kind: "gauge",
    help: "Open streams by route: streamed answers, and at kserve calls of ModelStreamInfer",
    labels: ["route"],
  },
  stator_frontend_loading_requests: { kind: "gauge", help: "Requests that wait for a model that is loading" },
  stator_frontend_connections: { kind: "gauge", help: "Open HTTP connections" },
  stator_frontend_body_bytes: { kind: "gauge", help: "Request bodies in memory, bytes" },
  stator_frontend_prompt_memory_bytes: {
    kind: "gauge",
    help: "What is remembered of prompts that were encoded, bytes",
  },
  stator_frontend_encoded_tokens_total: {
    kind: "counter",
    help: "Tokens of prompts: known from a prompt before, or new",
    labels: ["found"],
  },
  stator_frontend_first_token_seconds: {
    kind: "histogram",
    help: "From the arrival of a request to the first token of its answer",
    labels: ["route"],
    buckets: LATENCY_SECONDS,
  },
  stator_frontend_request_duration_seconds: {
    kind: "histogram",
    help: "From the arrival of a request to the end of its answer",
    labels: ["route"],
    buckets: LATENCY_SECONDS,
  },
  stator_frontend_prompt_tokens_total: {
    kind: "counter",
    help: "Prompt tokens of finished requests",
    labels: ["route"],
  },
  stator_frontend_cached_tokens_total: {
    kind: "counter",
    help: "Prompt tokens of finished requests that were found in a prefix cache",
    labels: ["route"],
  },
  stator_frontend_completion_tokens_total: {
    kind: "counter",
    help: "Tokens of finished answers",
    labels: ["route"],
  },
} as const satisfies Instruments;
