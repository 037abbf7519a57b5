import type { Instruments } from "#lib/host/metrics";

/** What the dispatcher counts. Nothing is counted per token: links keep their own counters, which a scrape copies. */
export const DISPATCH_INSTRUMENTS = {
  stator_dispatch_requests_total: {
    kind: "counter",
    help: "Requests that ended, by outcome: finished, cancelled, failed",
    labels: ["outcome"],
  },
  stator_dispatch_failures_total: {
    kind: "counter",
    help: "Requests that failed after they were started, by row of the error table",
    labels: ["reason"],
  },
  stator_dispatch_migrations_total: {
    kind: "counter",
    help: "Choices that had begun on one worker and were continued on another",
  },
  stator_dispatch_hand_offs_total: {
    kind: "counter",
    help: "Requests of which one worker computed the prompt for another, by what came of its blocks: all, fewer, unknown",
    labels: ["blocks"],
  },
  stator_dispatch_open_requests: { kind: "gauge", help: "Requests that have been started and have not ended" },
  stator_dispatch_waiting_requests: {
    kind: "gauge",
    help: "Requests that wait for a worker, to begin or to continue on",
  },
  stator_dispatch_refused_waits_total: {
    kind: "counter",
    help: "New requests that were told NO_WORKERS at once because too many were waiting",
  },
  stator_dispatch_workers: {
    kind: "gauge",
    help: "Workers in view, by phase: idle, connecting, ready, suspect, proving, draining, lost",
    labels: ["phase"],
  },
  stator_dispatch_suspicions_total: { kind: "counter", help: "Times a worker came under suspicion" },
  stator_dispatch_canaries_total: {
    kind: "counter",
    help: "Canary requests to workers that were suspect, by result: passed, failed",
    labels: ["result"],
  },
  stator_dispatch_link_failures_total: { kind: "counter", help: "Links that ended with an error or could not be made" },
  stator_dispatch_steps_total: { kind: "counter", help: "Step messages from workers" },
  stator_dispatch_tokens_total: { kind: "counter", help: "Tokens from workers" },
  stator_dispatch_merged_steps_total: {
    kind: "counter",
    help: "Steps that workers merged because this process was slow to read",
  },
  stator_dispatch_dropped_frames_total: {
    kind: "counter",
    help: "Frames for requests that had been abandoned or had ended",
  },
  stator_dispatch_refused_workers: {
    kind: "gauge",
    help: "Workers that get no request for a model because their contract scope or their blocks do not fit",
  },
} as const satisfies Instruments;
