import type { Clock } from "#lib/base/clock";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { Engine } from "#lib/engines/engine";
import type { Board } from "#lib/worker/board";
import type { WorkerState } from "../record.ts";

/** What questions about the engine are answered from. */
export interface EngineView {
  /** undefined while the model loads. */
  served(): { readonly engine: Engine; readonly board: Board } | undefined;
  state(): WorkerState;
  readonly instanceId: bigint;
  readonly version: string;
  readonly role: WorkerRole;
  readonly clock: Clock;
}
