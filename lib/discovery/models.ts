import {
  type AdapterCard,
  type InstanceRecord,
  InstanceRole,
  InstanceState,
  type ModelCard,
} from "#gen/stator/discovery/v1/discovery_pb";
import { printHex } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import type { DiscoveryRecord } from "./discovery.ts";
import { type ModelFacts, readModelFacts } from "./model-facts.ts";
import { keyOf } from "./record-keys.ts";
import { readWorkerRole, takesPromptsAlone, takesWholeRequests, type WorkerRole } from "./worker-role.ts";
import { type Member, type RefusedWorker, readModelWorkers, type ScopePolicy, type WorkerSet } from "./worker-sets.ts";

/** A name in the API, with what is behind it. */
export interface NamedModel {
  /** By which requests ask for it: a model's, an alias or an adapter's. */
  readonly name: string;
  /** What its workers call it: behind an alias the card's name. */
  readonly model: string;
  /** The base model of an adapter; undefined for a model. */
  readonly parent: string | undefined;
  /** undefined while no worker has a card of it. */
  readonly facts: ModelFacts | undefined;
  /** Digest of the tokenizer that its workers share, in hex; empty when no card says. */
  readonly tokenizer: string;
  /** Its workers by weights; an adapter has those that hold it. */
  readonly sets: readonly WorkerSet[];
  /** Workers that take whole requests, in a stable order, with the word for their weights: requests move within equal words. */
  readonly ready: ReadonlyMap<bigint, string>;
  /** Workers that compute prompts for answers elsewhere and take them now, as `ready` has the others. */
  readonly prefill: ReadonlyMap<bigint, string>;
  /** All workers that name it, whatever their state, but those that are refused. */
  readonly workers: ReadonlyMap<bigint, InstanceRecord>;
}

/** A name that was served. */
interface GoneName {
  /** On the clock of whoever reads. */
  readonly sinceMs: number;
  readonly workers: ReadonlySet<bigint>;
}

/** One view of discovery as what it means: who serves which names. */
export interface Models {
  /** All workers, by id and in its order. */
  readonly workers: ReadonlyMap<bigint, InstanceRecord>;
  /** Their cards of models, also of those that are refused. */
  readonly cards: ReadonlyMap<bigint, readonly ModelCard[]>;
  /** All that is known, by name, whether or not somebody serves it now. */
  readonly names: ReadonlyMap<string, NamedModel>;
  /** Workers that get no request for a model, each with the reason. */
  readonly refused: readonly RefusedWorker[];
  /** Records that are not read: their key and value disagree, or their instance is not there. */
  readonly leftOut: readonly { readonly key: string; readonly reason: string }[];
  /** Some worker loads and has named nothing: it may bring any name. */
  readonly mayBring: boolean;
  /** Names whose workers all left a moment ago, the first first. */
  readonly gone: ReadonlyMap<string, GoneName>;
}

/** How a view is read. */
export interface ReadOptions {
  /** What becomes of a worker whose routing scope differs from its set's. */
  readonly policy: ScopePolicy;
  /** What the view before was read as. */
  readonly before: Models | undefined;
  /** On the clock that `before` was read with. */
  readonly nowMs: number;
}

/** When a name is asked for. */
export interface AskedAt {
  /** On the clock that the models were read with. */
  readonly nowMs: number;
  /** The first worker is still expected, with whatever name. */
  readonly expecting: boolean;
}

/** How long a name is known whose workers are all gone: as long as one takes to start again. */
const GONE_MS = 30_000;
/** Names known so; beyond, the first is forgotten. */
const GONE_NAMES = 1_024;
/** When a caller that was told so may come back. */
const RETRY_AFTER_MS = { loading: 1_000, noWorkers: 2_000 } as const;

/** The reading of no view at all. */
export const NO_MODELS: Models = {
  workers: new Map(),
  cards: new Map(),
  names: new Map(),
  refused: [],
  leftOut: [],
  mayBring: false,
  gone: new Map(),
};

/**
 * Reads a view: the one place where records become names. Keeps references to its messages. A card's own name goes before
 * an alias, that before an adapter, and that before what workers only say that they will serve; among equals the longest
 * servable card decides.
 */
export function readModels(records: Iterable<DiscoveryRecord>, options: ReadOptions): Models {
  const { workers, cards, adapters, leftOut } = sortRecords(records);
  const names = new Map<string, NamedModel>();
  const refused: RefusedWorker[] = [];
  const claimed = readClaims(workers);
  for (const [name, members] of Map.groupBy(cards, ({ card }) => card.name)) {
    const alive = members.filter(({ instance }) => instance.state !== InstanceState.FAILED);
    const read = readModelWorkers(alive, options.policy);
    refused.push(...read.refused);
    const others = [...members.map(({ instance }) => instance), ...(claimed.get(name) ?? [])];
    names.set(name, nameModel(name, { ...read, others }));
  }
  for (const { card } of cards) {
    for (const alias of card.aliases)
      if (!names.has(alias)) names.set(alias, { ...names.get(card.name)!, name: alias });
  }
  for (const [name, holders] of Map.groupBy(adapters, (card) => card.name)) {
    const adapter = names.has(name) ? undefined : nameAdapter(name, holders, names);
    if (adapter) names.set(name, adapter);
  }
  for (const [name, others] of claimed)
    if (!names.has(name)) names.set(name, nameModel(name, { tokenizer: "", sets: [], refused: [], others }));
  const mayBring = [...workers.values()].some(
    ({ state, models }) => state === InstanceState.LOADING && models.length === 0,
  );
  const cardsOf = new Map<bigint, ModelCard[]>();
  for (const { card } of cards) cardsOf.set(card.instanceId, [...(cardsOf.get(card.instanceId) ?? []), card]);
  return { workers, cards: cardsOf, names, refused, leftOut, mayBring, gone: readGone(names, options) };
}

/** A served name, whatever the state of its workers. Throws MODEL_NOT_FOUND, MODEL_LOADING or NO_WORKERS. */
export function knownModel(models: Models, name: string, at: AskedAt): NamedModel {
  const found = models.names.get(name);
  if (found) return found;
  if (models.mayBring || at.expecting) throw loading(name);
  if (isSoonBack(models.gone.get(name), models.workers, at.nowMs)) throw noWorkers(name);
  const near = nearest(name, models.names.keys());
  const list = models.names.size > 0 ? " GET /v1/models lists what is served." : "";
  const hint = near === undefined ? list : ` Did you mean ${near}?`;
  throw new StatorError("MODEL_NOT_FOUND", { model: shown(name), hint }, { param: "model" });
}

/** A name that some worker takes whole requests for now. Throws as `knownModel` does, and when they load or are away. */
export function readyModel(models: Models, name: string, at: AskedAt): NamedModel {
  const found = knownModel(models, name, at);
  if (found.ready.size > 0) return found;
  throw absent(found);
}

/**
 * Why a name that is there is not served now: some worker that takes whole requests has not come so far, or all are away.
 * Where only workers of prompts are there, it is said that those for answers are missing.
 */
export function absent({ name, workers }: NamedModel): StatorError {
  const all = [...workers.values()];
  const whole = all.filter((worker) => takesWholeRequests(readWorkerRole(worker)));
  if (whole.length === 0 && all.length > 0) return noWorkers(name, "decode");
  const comes = ({ state }: InstanceRecord) => state === InstanceState.LOADING || state === InstanceState.READY;
  return whole.some(comes) ? loading(name) : noWorkers(name);
}

/** The model may be served soon. */
export function loading(model: string): StatorError {
  return new StatorError("MODEL_LOADING", { model: shown(model) }, { retryAfterMs: RETRY_AFTER_MS.loading });
}

/** The model exists and nobody can take a request for it now, or the part of one that a role does. */
export function noWorkers(model: string, role?: WorkerRole): StatorError {
  const that = role ? { that: ` with the role ${role}` } : {};
  return new StatorError("NO_WORKERS", { model: shown(model), ...that }, { retryAfterMs: RETRY_AFTER_MS.noWorkers });
}

/** What a client calls a model, short enough for a sentence. */
function shown(name: string): string {
  return name.slice(0, 128);
}

/** The workers of a view, and the cards of those that are there, the longest servable first. */
function sortRecords(records: Iterable<DiscoveryRecord>) {
  const all = [...records];
  const leftOut: { key: string; reason: string }[] = [];
  const instances: InstanceRecord[] = [];
  for (const record of all) {
    const expected = keyOf(record);
    if (record.key !== expected) leftOut.push({ key: record.key, reason: `the value belongs under ${expected}` });
    else if (record.value.case === "instance") instances.push(record.value.value);
  }
  const workers = new Map(
    instances
      .filter(({ role }) => role === InstanceRole.WORKER)
      .sort((left, right) => (left.instanceId < right.instanceId ? -1 : 1))
      .map((worker) => [worker.instanceId, worker]),
  );
  const cards: Member[] = [];
  const adapters: AdapterCard[] = [];
  for (const { key, value } of all) {
    if (value.case === "instance" || key !== keyOf({ value })) continue;
    const instance = workers.get(value.value.instanceId);
    if (!instance) leftOut.push({ key, reason: "its worker is not there" });
    else if (value.case === "model") cards.push({ instance, card: value.value });
    else adapters.push(value.value);
  }
  cards.sort(byAge);
  adapters.sort((left, right) => (left.instanceId < right.instanceId ? -1 : 1));
  return { workers, cards, adapters, leftOut };
}

/** Workers by the names that they say they serve or will serve, those that take whole requests or prompts. */
function readClaims(workers: Models["workers"]): Map<string, InstanceRecord[]> {
  const claims = new Map<string, InstanceRecord[]>();
  const useful = [...workers.values()].filter((worker) => {
    const role = readWorkerRole(worker);
    return takesWholeRequests(role) || takesPromptsAlone(role);
  });
  for (const worker of useful)
    for (const name of worker.models) claims.set(name, [...(claims.get(name) ?? []), worker]);
  return claims;
}

/** Whoever does not say since when it serves decides for nobody who does. */
function byAge({ card: left }: { card: ModelCard }, { card: right }: { card: ModelCard }): number {
  const [since, other] = [left, right].map(({ createdUnixSeconds: at }) => (at === 0n ? UNKNOWN_AGE : at)) as [
    bigint,
    bigint,
  ];
  if (since !== other) return since < other ? -1 : 1;
  return left.instanceId < right.instanceId ? -1 : 1;
}

/** Behind all times that a card can say. */
const UNKNOWN_AGE = 1n << 64n;

/** `others` name the model without a card that counts; who is refused is none of them. */
function nameModel(
  name: string,
  read: ReturnType<typeof readModelWorkers> & { readonly others: readonly InstanceRecord[] },
): NamedModel {
  const members = read.sets.flatMap((set) => set.workers.map((worker) => ({ worker, set: set.id })));
  const refused = new Set(read.refused.map(({ instanceId }) => instanceId));
  const others = read.others.filter(({ instanceId }) => !refused.has(instanceId));
  const workers = new Map(
    [...members.map(({ worker }) => worker.instance), ...others].map((one) => [one.instanceId, one]),
  );
  const weights = new Map(members.map(({ worker, set }) => [worker.instance.instanceId, set]));
  for (const [worker, { state }] of workers) {
    if (state !== InstanceState.READY) weights.delete(worker);
    // It takes requests and its card is on the way.
    else if (!weights.has(worker)) weights.set(worker, "unknown");
  }
  const [first, ...rest] = members.map(({ worker }) => worker);
  const facts = first && readModelFacts([first, ...rest]);
  const { tokenizer, sets } = read;
  return { name, model: name, parent: undefined, facts, tokenizer, sets, ...byRole(weights, workers), workers };
}

/** Workers that take something now, by what they take. */
function byRole(
  weights: ReadonlyMap<bigint, string>,
  workers: NamedModel["workers"],
): Pick<NamedModel, "ready" | "prefill"> {
  const roleOf = (worker: bigint) => readWorkerRole(workers.get(worker)!);
  const of = (takes: typeof takesWholeRequests) => new Map([...weights].filter(([worker]) => takes(roleOf(worker))));
  return { ready: of(takesWholeRequests), prefill: of(takesPromptsAlone) };
}

/** An adapter as its holders serve it. Those for another base than the first's do not count; undefined without the base. */
function nameAdapter(
  name: string,
  cards: readonly AdapterCard[],
  names: ReadonlyMap<string, NamedModel>,
): NamedModel | undefined {
  const base = names.get(cards[0]?.baseModel ?? "");
  if (!base?.facts || base.parent !== undefined) return undefined;
  const digests = new Map(
    cards.filter(({ baseModel }) => baseModel === base.name).map((card) => [card.instanceId, printHex(card.digest)]),
  );
  const holds = (worker: bigint): boolean => digests.has(worker);
  const sets = base.sets
    .map((set) => ({ ...set, workers: set.workers.filter(({ instance }) => holds(instance.instanceId)) }))
    .filter(({ workers }) => workers.length > 0);
  if (sets.length === 0) return undefined;
  // Another file under the same name is another model.
  const held = (of: ReadonlyMap<bigint, string>) =>
    new Map(
      [...of]
        .filter(([worker]) => holds(worker))
        .map(([worker, set]) => [worker, `${set}-${digests.get(worker)}`] as const),
    );
  return {
    ...base,
    name,
    model: name,
    parent: base.name,
    sets,
    ready: held(base.ready),
    prefill: held(base.prefill),
    workers: new Map([...base.workers].filter(([worker]) => holds(worker))),
  };
}

function readGone(names: Models["names"], { before, nowMs }: ReadOptions): ReadonlyMap<string, GoneName> {
  const gone = new Map(before?.gone);
  for (const { name, workers: served } of before?.names.values() ?? []) {
    gone.delete(name);
    gone.set(name, { sinceMs: nowMs, workers: new Set(served.keys()) });
  }
  for (const name of names.keys()) gone.delete(name);
  for (const [name, { sinceMs }] of gone) {
    if (gone.size <= GONE_NAMES && nowMs - sinceMs <= GONE_MS) break;
    gone.delete(name);
  }
  return gone;
}

/**
 * Whether a name was served a moment ago by workers of which none is there now: they crashed, lost their leases, or start
 * again. A client that hears "not found" would give up. Where one is still there, it does not serve the name any more.
 */
function isSoonBack(gone: GoneName | undefined, workers: Models["workers"], nowMs: number): boolean {
  if (!gone || nowMs - gone.sinceMs > GONE_MS) return false;
  return ![...gone.workers].some((worker) => workers.has(worker));
}
