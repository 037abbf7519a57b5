import type { Clock } from "#lib/base/clock";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { WorkerState } from "../record.ts";
import type { Served } from "../served.ts";

/** What questions about the engine are answered from. */
export interface EngineView {
  /** undefined while the model loads. */
  served(): Pick<Served, "engine" | "board" | "handOff"> | undefined;
  /** The worker's, as it is now. */
  state(): WorkerState;
  /** The worker's; a new start has a new one. */
  readonly instanceId: bigint;
  /** Of Stator. */
  readonly version: string;
  /** What part of requests the worker does, as it is now. */
  role(): WorkerRole;
  /** Of the times in answers, and of the probe that Health makes. */
  readonly clock: Clock;
}
