import type { Chance } from "#lib/base/chance";
import type { Clock } from "#lib/base/clock";
import type { Discovery } from "#lib/discovery/discovery";
import type { WorkerRole } from "#lib/discovery/worker-role";
import type { Engine } from "#lib/engines/engine";
import type { Log } from "#lib/host/log";
import type { Metrics } from "#lib/host/metrics";
import type { Tracer } from "#lib/host/telemetry";
import type { BlockHasher } from "#lib/tokens/block-hash";
import type { TransferAgent } from "#lib/transfer/agent";
import type { KvSourceLimits } from "#lib/worker/kv-source";
import type { AdapterFolder } from "./openengine/adapter-folder.ts";
import type { WorkerState } from "./record.ts";

/** What a worker is made of. It owns nothing of this but what it opens itself. */
export interface WorkerDeps {
  /** Opens the engine; told how far it is, 0 to 1. The signal says that nobody waits for it any more. */
  openEngine(onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Engine>;
  /** Where it is published. */
  readonly discovery: Discovery;
  /** Others take it for dead when it was not heard of for so long. */
  readonly leaseMs: number;
  /** Of all its timers and times. */
  readonly clock: Clock;
  /** Of its identity, and of the seeds of requests that name none. */
  readonly chance: Chance;
  /** Its own lines, and those of what it opens. */
  readonly log: Log;
  /** Holds `WORKER_INSTRUMENTS`, filled at every scrape. */
  readonly metrics: Metrics;
  /** Makes one span for each request. */
  readonly tracer: Tracer;
  /** Of Stator, for its record and for GetServerInfo. */
  readonly version: string;
  /** Decides which files may be loaded as adapters. */
  readonly adapterFolder: AdapterFolder;
  /** Such as llama, for the record before the engine is open. */
  readonly engineName: string;
  /** Served names before the engine is open: requests for them are told to wait. */
  readonly models: readonly string[];
  /** Other names for the model; none unless given. */
  readonly aliases?: readonly string[];
  /** Words for it, which requests may require or prefer; none unless given. */
  readonly taints?: readonly string[];
  /** What is spelled like a control token in a message to the model is one; false unless given. */
  readonly markersInContent?: boolean;
  /** What part of requests it does until it is given another; aggregated unless given. */
  readonly role?: WorkerRole;
  /** Time to finish what runs before it takes another role, for who says none; 10 s unless given. */
  readonly drainMs?: number;
  /** Its part of the data plane, which it serves and closes; without one it takes no legs of answers. */
  readonly transfer?: TransferAgent | undefined;
  /** Hashes what blocks hold, for its events; the one in TypeScript unless given. */
  readonly hasher?: BlockHasher;
  /** Bounds of its events that differ from the usual ones. */
  readonly kvEvents?: Partial<KvSourceLimits>;
  /** Called with the state at the start and at every change, before it is published. */
  onState(state: WorkerState): void;
}
