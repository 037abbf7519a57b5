import type { Instruments } from "#lib/host/metrics";

/** What a worker of tensors counts, beside what every worker does. */
export const TENSOR_INSTRUMENTS = {
  stator_worker_tensor_models: { kind: "gauge", help: "Models of tensors that answer." },
  stator_worker_tensor_open: { kind: "gauge", help: "Requests of tensors that have not ended." },
  stator_worker_tensor_running: { kind: "gauge", help: "Requests of tensors that models compute." },
  stator_worker_tensor_waiting: { kind: "gauge", help: "Requests of tensors that wait for a place." },
  stator_worker_tensor_streams: { kind: "gauge", help: "Open streams of requests." },
  stator_worker_tensor_requests_total: {
    kind: "counter",
    help: "Requests of tensors that ended, by how: ok, refused by what they said, overloaded, failed in the model, cancelled.",
    labels: ["result"],
  },
  stator_worker_tensor_bytes_total: {
    kind: "counter",
    help: "Bytes of tensors, by direction: in, out.",
    labels: ["direction"],
  },
  stator_worker_tensor_slow_total: { kind: "counter", help: "Streams that were ended because nobody read them." },
  stator_worker_tensor_looks_total: {
    kind: "counter",
    help: "Looks at a foreign server, by what was seen: ready, away.",
    labels: ["result"],
  },
} as const satisfies Instruments;
