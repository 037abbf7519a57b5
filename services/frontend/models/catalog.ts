import {
  type AdapterCard,
  type ArtifactRef,
  type InstanceRecord,
  InstanceState,
  type ModelCard,
  Determinism as WireDeterminism,
} from "#gen/stator/discovery/v1/discovery_pb";
import { printHex } from "#lib/base/bytes";
import { type Determinism, weakest } from "#lib/base/determinism";
import { type DefaultSampling, fitsSetting, isSamplingSetting } from "#lib/base/sampling-settings";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import type { ModelFeatures } from "./served.ts";

/** One name that requests may use, with what the workers behind it agree on. */
export interface CatalogEntry {
  readonly name: string;
  /** The base model of an adapter. */
  readonly parent: string | undefined;
  readonly contextTokens: number;
  readonly createdUnixSeconds: number;
  readonly ownedBy: string;
  readonly features: ModelFeatures;
  readonly defaultSampling: DefaultSampling;
  /** What all of its workers promise. */
  readonly deterministic: Determinism;
  /** What the text is opened from; equal sources share one text. */
  readonly source: TextSource | undefined;
  /** Some worker of it takes requests. */
  readonly ready: boolean;
  /** The workers that serve it. */
  readonly workers: readonly bigint[];
}

/** Where a model's tokenizer and template are. */
export interface TextSource {
  /** Tokenizer and template digest. */
  readonly key: string;
  readonly tokenizer: ArtifactRef;
  readonly template: ArtifactRef | undefined;
  readonly holders: readonly InstanceRecord[];
}

/** What a frontend knows of the models, made anew from every view of discovery. */
export interface Catalog {
  readonly entries: ReadonlyMap<string, CatalogEntry>;
  /** Workers that are still loading and may bring names that are not there yet. */
  readonly loading: readonly InstanceRecord[];
  /** Workers that are there and did not fail. */
  readonly present: ReadonlySet<bigint>;
}

interface Member {
  readonly card: ModelCard;
  readonly instance: InstanceRecord;
}

/** Reads the catalog out of a view. Cards without an instance are left out: their worker is gone or not there yet. */
export function readCatalog(records: Iterable<DiscoveryRecord>): Catalog {
  const instances = new Map<bigint, InstanceRecord>();
  const cards: ModelCard[] = [];
  const adapters: AdapterCard[] = [];
  for (const { value } of records) {
    if (value.case === "instance") instances.set(value.value.instanceId, value.value);
    else if (value.case === "model") cards.push(value.value);
    else adapters.push(value.value);
  }
  const entries = new Map<string, CatalogEntry>();
  for (const [name, members] of membersByName(cards, instances)) entries.set(name, readEntry(name, members));
  for (const adapter of adapters) addAdapter(entries, adapter, instances);
  const loading = [...instances.values()].filter((instance) => instance.state === InstanceState.LOADING);
  const present = [...instances.values()].filter((instance) => instance.state !== InstanceState.FAILED);
  return { entries, loading, present: new Set(present.map(({ instanceId }) => instanceId)) };
}

/** Members of every name and alias, the longest servable first: it decides tokenizer and template. */
function membersByName(
  cards: readonly ModelCard[],
  instances: ReadonlyMap<bigint, InstanceRecord>,
): Map<string, Member[]> {
  const byName = new Map<string, Member[]>();
  for (const card of cards) {
    const instance = instances.get(card.instanceId);
    if (!instance || instance.state === InstanceState.FAILED) continue;
    for (const name of new Set([card.name, ...card.aliases])) {
      const members = byName.get(name);
      if (members) members.push({ card, instance });
      else byName.set(name, [{ card, instance }]);
    }
  }
  for (const members of byName.values()) {
    members.sort(
      ({ card: left }, { card: right }) =>
        Number(left.createdUnixSeconds - right.createdUnixSeconds) || (left.instanceId < right.instanceId ? -1 : 1),
    );
  }
  return byName;
}

function readEntry(name: string, members: readonly Member[]): CatalogEntry {
  const { card } = members[0]!;
  return {
    name,
    parent: undefined,
    contextTokens: Math.min(...members.map((member) => member.card.contextTokens)),
    createdUnixSeconds: Number(card.createdUnixSeconds),
    ownedBy: card.ownedBy || "stator",
    features: readFeatures(members),
    defaultSampling: readSampling(card),
    deterministic: weakest(members.map((member) => readDeterminism(member.card))),
    source: readSource(members),
    ready: members.some(({ instance }) => instance.state === InstanceState.READY),
    workers: members.map(({ instance }) => instance.instanceId),
  };
}

function readFeatures(members: readonly Member[]): ModelFeatures {
  const all = members.map(({ card }) => card.capabilities);
  const every = (feature: "generate" | "embed" | "grammar" | "logprobs" | "promptLogprobs") =>
    all.every((one) => one?.[feature] ?? false);
  const missing: Record<string, string> = {};
  for (const one of all) Object.assign(missing, one?.missing);
  return {
    generate: every("generate"),
    embed: every("embed"),
    grammar: every("grammar"),
    logprobs: every("logprobs"),
    promptLogprobs: every("promptLogprobs"),
    maxTopLogprobs: Math.min(...all.map((one) => one?.maxTopLogprobs ?? 0)),
    embeddingSize: all[0]?.embeddingSize ?? 0,
    missing,
  };
}

function readDeterminism({ deterministic }: ModelCard): Determinism {
  if (deterministic === WireDeterminism.BATCH) return "batch";
  return deterministic === WireDeterminism.ALONE ? "alone" : "no";
}

/** What this frontend knows of a card's values: other names and values beyond their range come from other versions. */
function readSampling({ defaultSampling }: ModelCard): DefaultSampling {
  const known = Object.entries(defaultSampling).filter(
    ([name, value]) => isSamplingSetting(name) && fitsSetting(name, value),
  );
  return Object.fromEntries(known);
}

function artifact(card: ModelCard, kind: string): ArtifactRef | undefined {
  return card.artifacts.find((one) => one.kind === kind);
}

function sourceKey(card: ModelCard): string | undefined {
  const tokenizer = artifact(card, "tokenizer");
  const template = artifact(card, "template");
  return tokenizer && `${printHex(tokenizer.digest)}:${template ? printHex(template.digest) : ""}`;
}

function readSource(members: readonly Member[]): TextSource | undefined {
  for (const { card } of members) {
    const tokenizer = artifact(card, "tokenizer");
    const key = sourceKey(card);
    if (!tokenizer || !key) continue;
    const holders = members.filter((member) => sourceKey(member.card) === key).map(({ instance }) => instance);
    return { key, tokenizer, template: artifact(card, "template"), holders };
  }
  return undefined;
}

/** Every source that some name needs, by its key, with all instances that hold it. */
export function readSources(catalog: Catalog): Map<string, TextSource> {
  const sources = new Map<string, TextSource>();
  for (const { source } of catalog.entries.values()) {
    if (!source) continue;
    const known = sources.get(source.key)?.holders ?? [];
    sources.set(source.key, { ...source, holders: [...new Set([...known, ...source.holders])] });
  }
  return sources;
}

function addAdapter(
  entries: Map<string, CatalogEntry>,
  adapter: AdapterCard,
  instances: ReadonlyMap<bigint, InstanceRecord>,
): void {
  const base = entries.get(adapter.baseModel);
  const instance = instances.get(adapter.instanceId);
  const known = entries.get(adapter.name);
  if (!base || !instance || (known && known.parent === undefined)) return;
  const ready = instance.state === InstanceState.READY || (known?.ready ?? false);
  const workers = [...(known?.workers ?? []), adapter.instanceId];
  entries.set(adapter.name, { ...base, name: adapter.name, parent: adapter.baseModel, ready, workers });
}
