import {
  type ArtifactRef,
  type Capabilities,
  type InstanceRecord,
  type ModelCard,
  Determinism as WireDeterminism,
} from "#gen/stator/discovery/v1/discovery_pb";
import { printHex } from "#lib/base/bytes";
import { type Determinism, weakest } from "#lib/base/determinism";
import { ANSWER_RANGES, type DefaultSampling, fitsRange, isSamplingSetting, SAMPLING_RANGES } from "#lib/base/sampling";
import { artifactOf, type Member, type ModelInput, readInput } from "./worker-sets.ts";

/** Whether a model has something. What nobody knows is tried, and the engine may refuse it. */
export type Feature = boolean | "unknown";

/** What the engines behind a model can do: a feature counts when every worker has it. */
export interface ModelFeatures {
  /** It answers prompts. */
  readonly generate: Feature;
  /** It turns texts into vectors. */
  readonly embed: Feature;
  /** Answers can be held to a schema, a regex or a grammar. */
  readonly grammar: Feature;
  /** Of the tokens of answers. */
  readonly logprobs: Feature;
  /** Of the tokens of prompts. */
  readonly promptLogprobs: Feature;
  /** Most likely tokens at a place that all give; where nobody knows, what a request may ask for at most. */
  readonly maxTopLogprobs: number;
  /** Length of an embedding; 0 when it makes none, undefined when nobody knows. */
  readonly embeddingSize: number | undefined;
  /** Why a feature is absent, by its name above. */
  readonly missing: Readonly<Record<string, string>>;
}

/** Where a model's tokenizer and template are. */
export interface TextSource {
  /** Tokenizer and template digest in hex, and whether markers count. */
  readonly key: string;
  /** Of the first holder's card; the digest decides, not who is asked. */
  readonly tokenizer: ArtifactRef;
  /** undefined for a model without a chat template. */
  readonly template: ArtifactRef | undefined;
  /** What is spelled like a control token in a message is one: as the first holder's card says. */
  readonly markersInContent: boolean;
  /** Who has both, the longest servable first. */
  readonly holders: readonly InstanceRecord[];
}

/** What a frontend knows of a model of tensors before it asks a worker for the rest. */
export interface TensorFacts {
  /** What computes it, in the protocol's words, such as onnxruntime_onnx; empty when nobody knows. */
  readonly platform: string;
  /** One request may get no answer or several: such a model is called on a stream alone. */
  readonly decoupled: boolean;
}

/** What the workers that serve a model agree on. */
export interface ModelFacts {
  /** Longest prompt and answer together, in tokens, on every worker that says it; undefined when none does. */
  readonly contextTokens: number | undefined;
  /** When the engine of its longest servable worker was opened. */
  readonly createdUnixSeconds: number;
  /** Whom that worker's card names; `stator` when it names nobody. */
  readonly ownedBy: string;
  /** What all of its workers can do. */
  readonly features: ModelFeatures;
  /** For requests that name no value; the first worker's. */
  readonly defaultSampling: DefaultSampling;
  /** What all of its workers promise. */
  readonly deterministic: Determinism;
  /** What requests bring to its workers and answers are made of. */
  readonly input: ModelInput;
  /** Of a model of tensors, what its first worker's card says; undefined for others. */
  readonly tensor: TensorFacts | undefined;
  /**
   * What the text is opened from; equal sources share one text. undefined when no worker offers a tokenizer, as where
   * only the engine has one: then text goes to the worker and comes from it. A model of tensors has none.
   */
  readonly text: TextSource | undefined;
}

/** Reads what workers agree on, the longest servable first; there is at least one. */
export function readModelFacts(members: readonly [Member, ...Member[]]): ModelFacts {
  const { card } = members[0];
  return {
    contextTokens: leastOf(members.map((member) => member.card.contextTokens || undefined)),
    createdUnixSeconds: Number(card.createdUnixSeconds),
    ownedBy: card.ownedBy || "stator",
    features: readFeatures(members),
    defaultSampling: readSampling(card),
    deterministic: weakest(members.map((member) => readDeterminism(member.card))),
    input: readInput(card),
    tensor: readTensor(card),
    text: readInput(card) === "tokens" ? readTextSource(members) : undefined,
  };
}

function readFeatures(members: readonly Member[]): ModelFeatures {
  const all = members.map(({ card }) => card.capabilities);
  // Of a card that says nothing of it nobody knows what the engine can do.
  const isUnknown = (one: Capabilities | undefined, name: string) => !one || one.unknown.includes(name);
  const every = (name: "generate" | "embed" | "grammar" | "logprobs" | "promptLogprobs"): Feature => {
    if (all.every((one) => one?.[name])) return true;
    return all.every((one) => one?.[name] || isUnknown(one, name)) && "unknown";
  };
  const known = (name: "maxTopLogprobs" | "embeddingSize") =>
    all.map((one) => (isUnknown(one, name) ? undefined : (one?.[name] ?? 0)));
  const missing: Record<string, string> = {};
  for (const one of all) Object.assign(missing, one?.missing);
  return {
    generate: every("generate"),
    embed: every("embed"),
    grammar: every("grammar"),
    logprobs: every("logprobs"),
    promptLogprobs: every("promptLogprobs"),
    maxTopLogprobs: leastOf(known("maxTopLogprobs")) ?? ANSWER_RANGES.top_logprobs.most,
    embeddingSize: known("embeddingSize").find((size) => size !== undefined),
    missing,
  };
}

/** The least of those that are known. */
function leastOf(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

function readDeterminism({ deterministic }: ModelCard): Determinism {
  if (deterministic === WireDeterminism.BATCH) return "batch";
  return deterministic === WireDeterminism.ALONE ? "alone" : "no";
}

function readTensor(card: ModelCard): TensorFacts | undefined {
  if (readInput(card) !== "tensor") return undefined;
  return { platform: card.tensor?.platform ?? "", decoupled: card.tensor?.decoupled ?? false };
}

/** What this process knows of a card's values: other names and values beyond their range come from other versions. */
function readSampling({ defaultSampling }: ModelCard): DefaultSampling {
  const known = Object.entries(defaultSampling).filter(
    ([name, value]) => isSamplingSetting(name) && fitsRange(SAMPLING_RANGES[name], value),
  );
  return Object.fromEntries(known);
}

function textDigests(card: ModelCard): string | undefined {
  const tokenizer = artifactOf(card, "tokenizer");
  const template = artifactOf(card, "template");
  return tokenizer && `${printHex(tokenizer.digest)}:${template ? printHex(template.digest) : ""}`;
}

function readTextSource(members: readonly Member[]): TextSource | undefined {
  for (const { card } of members) {
    const tokenizer = artifactOf(card, "tokenizer");
    const digests = textDigests(card);
    if (!tokenizer || !digests) continue;
    const { markersInContent } = card;
    const key = markersInContent ? `${digests}:markers` : digests;
    const holders = members.filter((member) => textDigests(member.card) === digests).map(({ instance }) => instance);
    return { key, tokenizer, template: artifactOf(card, "template"), markersInContent, holders };
  }
  return undefined;
}
