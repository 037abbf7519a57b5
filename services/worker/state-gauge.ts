import type { Metrics } from "#lib/host/metrics";
import type { WorkerState } from "./record.ts";

const STATES: readonly WorkerState["state"][] = ["loading", "ready", "draining", "asleep", "failed"];

/** Sets the gauge of the state that a worker is in. */
export function countState(metrics: Metrics, state: WorkerState["state"]): void {
  for (const each of STATES) metrics.set("stator_worker_state", each === state ? 1 : 0, { state: each });
}
