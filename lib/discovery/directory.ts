import type { RoutingScope, WeightsScope } from "#gen/stator/common/v1/common_pb";
import { Certainty } from "#gen/stator/common/v1/common_pb";
import type { AdapterCard, InstanceRecord, ModelCard } from "#gen/stator/discovery/v1/discovery_pb";
import { equalBytes, parseId, printHex, printId } from "#lib/base/bytes";
import type { DiscoveryRecord } from "./discovery.ts";
import { parseSegment, printSegment } from "./keys.ts";

/** Where an instance publishes itself. */
export function instanceKey(instanceId: bigint): string {
  return `instances/${printId(instanceId)}`;
}

/** Where an instance publishes a model that it serves. Any name will do. */
export function modelKey(name: string, instanceId: bigint): string {
  return `models/${printSegment(name)}/${printId(instanceId)}`;
}

/** Where an instance publishes an adapter that it has loaded. */
export function adapterKey(name: string, instanceId: bigint): string {
  return `adapters/${printSegment(name)}/${printId(instanceId)}`;
}

/** What a key says: the inverse of the three above; undefined for any other key. */
export function parseDirectoryKey(
  key: string,
): { kind: "instance" | "model" | "adapter"; name: string; instanceId: bigint } | undefined {
  const segments = key.split("/");
  const instanceId = parseId(segments.at(-1) ?? "");
  if (instanceId === undefined) return undefined;
  if (key === instanceKey(instanceId)) return { kind: "instance", name: "", instanceId };
  const name = parseSegment(segments[1] ?? "");
  if (name === undefined) return undefined;
  if (key === modelKey(name, instanceId)) return { kind: "model", name, instanceId };
  return key === adapterKey(name, instanceId) ? { kind: "adapter", name, instanceId } : undefined;
}

/** `strict` refuses a worker whose routing scope differs; `degrade` keeps it without KV routing. */
export type ScopePolicy = "strict" | "degrade";

/** A worker of one model. */
export interface ModelWorker {
  readonly instance: InstanceRecord;
  readonly card: ModelCard;
  /** Whether cached prefixes may decide for this worker. */
  readonly kvRouting: boolean;
  /** Token ids of the set mean the same here: without this it must be sent text. */
  readonly sharesTokens: boolean;
  /** Why not, one sentence; empty when both hold. */
  readonly reason: string;
  /** The scope was not reported by the engine, only assumed. */
  readonly unverified: boolean;
}

/** Workers with the same weights; requests move within a set and never between sets. */
export interface WorkerSet {
  /** Model digest and quantization in one word, for logs. */
  readonly id: string;
  /** Share of the model's traffic: the sum of its workers' weights. */
  readonly weight: number;
  /** What KV routing in this set goes by: that of its first worker; undefined when nobody states one. */
  readonly routing: RoutingScope | undefined;
  /** The longest servable first. */
  readonly workers: readonly ModelWorker[];
}

/** A worker that the policy keeps out. */
export interface RefusedWorker {
  readonly instanceId: bigint;
  readonly reason: string;
}

/** One served name. */
export interface ModelEntry {
  readonly name: string;
  /** The set with the longest servable worker first. */
  readonly sets: readonly WorkerSet[];
  readonly refused: readonly RefusedWorker[];
}

/** One adapter name. */
export interface AdapterEntry {
  readonly name: string;
  readonly baseModel: string;
  readonly holders: readonly { readonly instance: InstanceRecord; readonly card: AdapterCard }[];
}

/** The view of discovery as what it means. */
export interface Directory {
  readonly instances: ReadonlyMap<bigint, InstanceRecord>;
  readonly models: ReadonlyMap<string, ModelEntry>;
  /** Other names of models, by alias; a name that is a model's own is none. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly adapters: ReadonlyMap<string, AdapterEntry>;
  /** Records that are left out: their key and value disagree, or their instance is not there. */
  readonly leftOut: readonly { readonly key: string; readonly reason: string }[];
}

/** Reads a view. Keeps references to its messages. The same view gives the same directory everywhere. */
export function readDirectory(records: Iterable<DiscoveryRecord>, policy: ScopePolicy): Directory {
  const instances = new Map<bigint, InstanceRecord>();
  const cards: ModelCard[] = [];
  const adapterCards: AdapterCard[] = [];
  const leftOut: { key: string; reason: string }[] = [];
  const all = [...records];
  for (const { value } of all) if (value.case === "instance") instances.set(value.value.instanceId, value.value);
  for (const { key, value } of all) {
    const expected = keyOf({ key, value });
    if (key !== expected) leftOut.push({ key, reason: `the value belongs under ${expected}` });
    else if (!instances.has(value.value.instanceId)) leftOut.push({ key, reason: "its instance is not there" });
    else if (value.case === "model") cards.push(value.value);
    else if (value.case === "adapter") adapterCards.push(value.value);
  }
  for (const { key } of leftOut) {
    const id = parseDirectoryKey(key);
    if (id?.kind === "instance") instances.delete(id.instanceId);
  }
  const models = readModels(cards, instances, policy);
  return {
    instances,
    models,
    aliases: readAliases(cards, models),
    adapters: readAdapters(adapterCards, instances),
    leftOut,
  };
}

/** Why two routing scopes differ, in words; undefined when they agree. */
export function routingMismatch(expected: RoutingScope, found: RoutingScope): string | undefined {
  const differs: string[] = [];
  if (expected.blockTokens !== found.blockTokens) {
    differs.push(`blocks of ${found.blockTokens} tokens instead of ${expected.blockTokens}`);
  }
  if (expected.hashScheme !== found.hashScheme) {
    differs.push(`hash scheme ${found.hashScheme || "unknown"} instead of ${expected.hashScheme || "unknown"}`);
  }
  if (!equalBytes(expected.tokenizerDigest, found.tokenizerDigest)) differs.push("another tokenizer");
  if (!equalBytes(expected.templateDigest, found.templateDigest)) differs.push("another chat template");
  return differs.length === 0 ? undefined : differs.join(", ");
}

/** Equal words for equal weights. */
export function weightsId(weights: WeightsScope | undefined): string {
  if (!weights) return "unknown";
  return `${printHex(weights.modelDigest.subarray(0, 8)) || "unknown"}-${weights.quantization || "unknown"}`;
}

function keyOf({ value }: DiscoveryRecord): string {
  if (value.case === "instance") return instanceKey(value.value.instanceId);
  if (value.case === "model") return modelKey(value.value.name, value.value.instanceId);
  return adapterKey(value.value.name, value.value.instanceId);
}

function readModels(
  cards: readonly ModelCard[],
  instances: ReadonlyMap<bigint, InstanceRecord>,
  policy: ScopePolicy,
): Map<string, ModelEntry> {
  const models = new Map<string, ModelEntry>();
  for (const [name, members] of groupBy(cards.toSorted(byAge), (card) => card.name)) {
    const refused: RefusedWorker[] = [];
    const sets: WorkerSet[] = [];
    for (const group of groupBy(members, weightsKey).values()) {
      const set = readSet(group, instances, { policy, refused });
      if (set.workers.length > 0) sets.push(set);
    }
    models.set(name, { name, sets, refused });
  }
  return models;
}

/** The whole digest decides, its beginning is only shown. */
function weightsKey({ weights }: ModelCard): string {
  return weights ? `${printHex(weights.modelDigest)}-${weights.quantization}` : "";
}

function readSet(
  cards: readonly ModelCard[],
  instances: ReadonlyMap<bigint, InstanceRecord>,
  { policy, refused }: { policy: ScopePolicy; refused: RefusedWorker[] },
): WorkerSet {
  const routing = cards.find((card) => card.routing)?.routing;
  const workers: ModelWorker[] = [];
  for (const card of cards) {
    const instance = instances.get(card.instanceId)!;
    const mismatch = routing && card.routing && routingMismatch(routing, card.routing);
    if (mismatch && policy === "strict") refused.push({ instanceId: card.instanceId, reason: `It has ${mismatch}.` });
    else workers.push({ instance, card, ...judge(card, { routing, mismatch }) });
  }
  const weight = workers.reduce((sum, { instance }) => sum + (instance.weight ?? 1), 0);
  return { id: weightsId(cards[0]?.weights), weight, routing, workers };
}

function judge(
  { routing: own }: ModelCard,
  { routing, mismatch }: { routing: RoutingScope | undefined; mismatch: string | undefined },
): Pick<ModelWorker, "kvRouting" | "sharesTokens" | "reason" | "unverified"> {
  if (!own || !routing) {
    return { kvRouting: false, sharesTokens: !routing, reason: "Its routing scope is unknown.", unverified: true };
  }
  const reason = mismatch ? `Without KV routing: it has ${mismatch}.` : "";
  const sharesTokens = equalBytes(own.tokenizerDigest, routing.tokenizerDigest);
  return { kvRouting: !mismatch, sharesTokens, reason, unverified: own.certainty !== Certainty.REPORTED };
}

function readAliases(cards: readonly ModelCard[], models: ReadonlyMap<string, ModelEntry>): Map<string, string> {
  const aliases = new Map<string, string>();
  for (const card of cards.toSorted(byAge)) {
    for (const alias of card.aliases) if (!models.has(alias) && !aliases.has(alias)) aliases.set(alias, card.name);
  }
  return aliases;
}

/** Holders of one name with another base than the first are left to their own name's owner: the first decides. */
function readAdapters(
  cards: readonly AdapterCard[],
  instances: ReadonlyMap<bigint, InstanceRecord>,
): Map<string, AdapterEntry> {
  const adapters = new Map<string, AdapterEntry>();
  const sorted = cards.toSorted((left, right) => (left.instanceId < right.instanceId ? -1 : 1));
  for (const [name, [first, ...others]] of groupBy(sorted, (card) => card.name)) {
    if (!first) continue;
    const same = [first, ...others.filter(({ baseModel }) => baseModel === first.baseModel)];
    const holders = same.map((card) => ({ instance: instances.get(card.instanceId)!, card }));
    adapters.set(name, { name, baseModel: first.baseModel, holders });
  }
  return adapters;
}

function byAge(left: ModelCard, right: ModelCard): number {
  if (left.createdUnixSeconds !== right.createdUnixSeconds) {
    return left.createdUnixSeconds < right.createdUnixSeconds ? -1 : 1;
  }
  return left.instanceId < right.instanceId ? -1 : 1;
}

function groupBy<Item>(items: Iterable<Item>, keyOfItem: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const key = keyOfItem(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}
