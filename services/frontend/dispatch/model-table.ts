import { type InstanceRecord, InstanceRole, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import type { DiscoveryRecord } from "#lib/discovery/discovery";

/** When a caller that was told MODEL_LOADING or NO_WORKERS may come back. */
const RETRY_AFTER_MS = 2_000;

/** A name in the API and who serves it. */
interface Entry {
  /** What the workers call it: an alias is replaced by the name of its card. */
  readonly model: string;
  readonly ready: Set<bigint>;
  /** Instances that will serve it, or did: loading, draining, asleep, failed. */
  readonly loading: Set<bigint>;
  readonly away: Set<bigint>;
}

/** A served model as a request found it. */
export interface FoundModel {
  readonly model: string;
  /** Instances that are ready to serve it. */
  readonly instances: ReadonlySet<bigint>;
}

/** Which names are served by which workers, as of one view of discovery. */
export interface ModelTable {
  /** Worker instances by id, in order of id. */
  readonly instances: ReadonlyMap<bigint, InstanceRecord>;
  /** Throws MODEL_NOT_FOUND with the nearest name, MODEL_LOADING, or NO_WORKERS when all of its workers are away. */
  find(name: string): FoundModel;
  /** Names that some ready instance serves. */
  readonly served: readonly string[];
}

/** Reads a view. What belongs to an instance without a record is skipped. */
export function readModelTable(records: Iterable<DiscoveryRecord>): ModelTable {
  const all = [...records].map((record) => record.value);
  const workers = all.flatMap((value) => (value.case === "instance" && isWorker(value.value) ? [value.value] : []));
  workers.sort((left, right) => (left.instanceId < right.instanceId ? -1 : 1));
  const instances = new Map(workers.map((worker) => [worker.instanceId, worker]));
  const entries = new Map<string, Entry>();
  const enter = (name: string, model: string, worker: InstanceRecord | undefined) => {
    if (!worker || name === "") return;
    const entry = entries.get(name) ?? { model, ready: new Set(), loading: new Set(), away: new Set() };
    entries.set(name, entry);
    placeIn(entry, worker.state).add(worker.instanceId);
  };
  for (const value of all) {
    if (value.case === "model") {
      const { name, aliases, instanceId } = value.value;
      for (const called of [name, ...aliases]) enter(called, name, instances.get(instanceId));
    } else if (value.case === "adapter") {
      enter(value.value.name, value.value.name, instances.get(value.value.instanceId));
    }
  }
  for (const worker of workers) for (const name of worker.models) enter(name, name, worker);
  const silent = workers.some((worker) => worker.state === InstanceState.LOADING && worker.models.length === 0);
  return {
    instances,
    served: [...entries].filter(([, entry]) => entry.ready.size > 0).map(([name]) => name),
    find(name) {
      const entry = entries.get(name);
      if (entry && entry.ready.size > 0) return { model: entry.model, instances: entry.ready };
      throw missing(name, { entry, silent, names: [...entries.keys()] });
    },
  };
}

function isWorker(record: InstanceRecord): boolean {
  return record.role === InstanceRole.WORKER;
}

function placeIn(entry: Entry, state: InstanceState): Set<bigint> {
  if (state === InstanceState.READY) return entry.ready;
  return state === InstanceState.LOADING ? entry.loading : entry.away;
}

function missing(
  model: string,
  about: { entry: Entry | undefined; silent: boolean; names: readonly string[] },
): StatorError {
  const { entry, silent, names } = about;
  // A worker that has not said what it loads may be loading this one.
  if (entry ? entry.loading.size > 0 : silent) {
    return new StatorError("MODEL_LOADING", { model }, { retryAfterMs: RETRY_AFTER_MS });
  }
  if (entry) return noWorkers(model);
  const meant = nearest(model, names);
  const hint = meant === undefined ? "" : ` Did you mean ${meant}?`;
  return new StatorError("MODEL_NOT_FOUND", { model: model.slice(0, 128), hint }, { param: "model" });
}

/** The model exists and nobody can take a request for it now. */
export function noWorkers(model: string): StatorError {
  return new StatorError("NO_WORKERS", { model }, { retryAfterMs: RETRY_AFTER_MS });
}
