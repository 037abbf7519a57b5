import { type InstanceRecord, InstanceRole, InstanceState } from "#gen/stator/discovery/v1/discovery_pb";
import { equalBytes, printHex } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import { type Directory, type ModelEntry, readDirectory, type ScopePolicy } from "#lib/discovery/directory";
import type { DiscoveryRecord } from "#lib/discovery/discovery";

/** When a caller that was told MODEL_LOADING or NO_WORKERS may come back. */
const RETRY_AFTER_MS = 2_000;

/** A name in the API and who serves it. */
interface Entry {
  /** What the workers call it: an alias is replaced by the name of its card. */
  readonly model: string;
  /** All instances of the three kinds below. */
  readonly workers: Set<bigint>;
  /** The set of each ready worker: requests move within a set and never between sets. */
  readonly ready: Map<bigint, string>;
  /** Instances that will serve it, or did: loading, draining, asleep, failed. */
  readonly loading: Set<bigint>;
  readonly away: Set<bigint>;
  /** Digest of the tokenizer that its workers share, in hex; empty until a card says. */
  tokenizer: string;
}

/** A served model as a request found it. */
export interface FoundModel {
  readonly model: string;
  /** Instances that are ready to serve it, with the word for the weights that they have. */
  readonly instances: ReadonlyMap<bigint, string>;
  /** Digest of the tokenizer that they share, in hex; empty when no card says. */
  readonly tokenizer: string;
}

/** A name that some instance serves, will serve, or did. */
export interface KnownModel {
  readonly model: string;
  /** Its instances, whatever their state. */
  readonly workers: ReadonlySet<bigint>;
  /** As in FoundModel. */
  readonly tokenizer: string;
}

/** Which names are served by which workers, as of one view of discovery. */
export interface ModelTable {
  /** Worker instances by id, in order of id. */
  readonly instances: ReadonlyMap<bigint, InstanceRecord>;
  /** Throws MODEL_NOT_FOUND with the nearest name, MODEL_LOADING, or NO_WORKERS when all of its workers are away. */
  find(name: string): FoundModel;
  /** Throws MODEL_NOT_FOUND as `find` does, or MODEL_LOADING when a worker that has named nothing may bring it. */
  known(name: string): KnownModel;
  /** Names that some ready instance serves. */
  readonly served: readonly string[];
  /** Workers that get no request for a model, each with the reason. */
  readonly refused: readonly { readonly worker: bigint; readonly model: string; readonly reason: string }[];
}

/**
 * Reads a view. What belongs to an instance without a record is skipped; a worker whose contract scope does not fit its
 * model's is refused here, before a request could reach it.
 */
export function readModelTable(records: Iterable<DiscoveryRecord>, policy: ScopePolicy): ModelTable {
  const directory = readDirectory(records, policy);
  const workers = [...directory.instances.values()].filter(isWorker);
  workers.sort((left, right) => (left.instanceId < right.instanceId ? -1 : 1));
  const book = new EntryBook(new Map(workers.map((worker) => [worker.instanceId, worker])));
  for (const entry of directory.models.values()) book.addModel(entry, aliasesOf(entry.name, directory));
  for (const { name, holders } of directory.adapters.values()) {
    for (const { instance, card } of holders)
      book.enter(name, name, instance.instanceId, `adapter-${printHex(card.digest)}`);
  }
  // A worker that has no card yet names what it loads.
  for (const { instanceId, models } of workers)
    for (const name of models) book.enter(name, name, instanceId, "unknown");
  const silent = workers.some((worker) => worker.state === InstanceState.LOADING && worker.models.length === 0);
  return book.close(silent);
}

function aliasesOf(model: string, { aliases }: Directory): string[] {
  return [...aliases].filter(([, meant]) => meant === model).map(([alias]) => alias);
}

/** Gathers the entries of a table; the first word about a worker and a name counts. */
class EntryBook {
  readonly #instances: ReadonlyMap<bigint, InstanceRecord>;
  readonly #entries = new Map<string, Entry>();
  readonly #refused: { worker: bigint; model: string; reason: string }[] = [];

  constructor(instances: ReadonlyMap<bigint, InstanceRecord>) {
    this.#instances = instances;
  }

  addModel({ name, sets, refused }: ModelEntry, aliases: readonly string[]): void {
    for (const { instanceId, reason } of refused) this.#refused.push({ worker: instanceId, model: name, reason });
    const tokenizer = sets[0]?.routing?.tokenizerDigest;
    for (const { id, routing, workers } of sets) {
      // Prompts travel as token ids: they must mean the same to every worker of the name.
      const sameTokens = !tokenizer || !routing || equalBytes(tokenizer, routing.tokenizerDigest);
      for (const { instance, sharesTokens } of workers) {
        if (sameTokens && sharesTokens) {
          for (const called of [name, ...aliases]) {
            const entry = this.enter(called, name, instance.instanceId, id);
            if (entry && tokenizer) entry.tokenizer ||= printHex(tokenizer);
          }
        } else {
          this.#refused.push({ worker: instance.instanceId, model: name, reason: "It has another tokenizer." });
        }
      }
    }
  }

  enter(name: string, model: string, worker: bigint, set: string): Entry | undefined {
    const record = this.#instances.get(worker);
    if (!record || name === "" || this.#refused.some((each) => each.worker === worker && each.model === model))
      return undefined;
    const entry = this.#entries.get(name) ?? newEntry(model);
    this.#entries.set(name, entry);
    entry.workers.add(worker);
    if (record.state !== InstanceState.READY) {
      (record.state === InstanceState.LOADING ? entry.loading : entry.away).add(worker);
    } else if (!entry.ready.has(worker)) entry.ready.set(worker, set);
    return entry;
  }

  close(silent: boolean): ModelTable {
    const entries = this.#entries;
    return {
      instances: this.#instances,
      served: [...entries].filter(([, entry]) => entry.ready.size > 0).map(([name]) => name),
      refused: this.#refused,
      find(name) {
        const entry = entries.get(name);
        if (entry && entry.ready.size > 0)
          return { model: entry.model, instances: entry.ready, tokenizer: entry.tokenizer };
        throw missing(name, { entry, silent, names: [...entries.keys()] });
      },
      known(name) {
        const entry = entries.get(name);
        if (!entry) throw missing(name, { entry, silent, names: [...entries.keys()] });
        return entry;
      },
    };
  }
}

function newEntry(model: string): Entry {
  return { model, workers: new Set(), ready: new Map(), loading: new Set(), away: new Set(), tokenizer: "" };
}

function isWorker(record: InstanceRecord): boolean {
  return record.role === InstanceRole.WORKER;
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
