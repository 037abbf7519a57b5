import type { Instruments } from "#lib/host/metrics";

/** What the RPC servers of a process count. */
export const RPC_INSTRUMENTS = {
  stator_rpc_calls_total: {
    kind: "counter",
    help: "Calls that ended, by method, binding and result: ok, or whose fault the end was",
    labels: ["method", "binding", "result"],
  },
  stator_rpc_call_seconds: {
    kind: "histogram",
    help: "Time from the start of a call to its end, streams included",
    labels: ["method"],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 600],
  },
  stator_rpc_open_calls: { kind: "gauge", help: "Calls that are open now", labels: ["binding"] },
  stator_rpc_resets_total: { kind: "counter", help: "Calls that a client ended by resetting its stream" },
  stator_rpc_sessions_closed_total: {
    kind: "counter",
    help: "Sessions closed because their peer reset more streams than the limit allows",
  },
} as const satisfies Instruments;
