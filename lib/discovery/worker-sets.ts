import type { RoutingScope, WeightsScope } from "#gen/stator/common/v1/common_pb";
import { Certainty } from "#gen/stator/common/v1/common_pb";
import {
  type ArtifactRef,
  type InstanceRecord,
  type ModelCard,
  ModelInput as WireInput,
} from "#gen/stator/discovery/v1/discovery_pb";
import { equalBytes, printHex } from "#lib/base/bytes";
import { readWorkerRole, takesPromptsAlone, takesWholeRequests } from "./worker-role.ts";

/** `strict` refuses a worker whose routing scope differs from its set's; `degrade` keeps it without KV routing. */
export type ScopePolicy = "strict" | "degrade";

/** A card and whose it is. */
export interface Member {
  /** The worker's record. */
  readonly instance: InstanceRecord;
  /** What it says of the model. */
  readonly card: ModelCard;
}

/** A worker of one model. */
export interface SetWorker extends Member {
  /** Whether cached prefixes may decide for this worker. */
  readonly kvRouting: boolean;
  /** Why not, one sentence; empty when they may. */
  readonly reason: string;
  /** The scope was not reported by the engine, only assumed. */
  readonly unverified: boolean;
}

/** Workers with the same weights; requests and the blocks of their prompts move within a set and never between sets. */
export interface WorkerSet {
  /** Model digest and quantization in one word, for logs. */
  readonly id: string;
  /** Share of the model's traffic: the sum of the weights of its workers that take whole requests. */
  readonly weight: number;
  /** What KV routing in this set goes by: that of its first worker; undefined when nobody states one. */
  readonly routing: RoutingScope | undefined;
  /** The longest servable first; those that compute prompts alone behind all others. */
  readonly workers: readonly SetWorker[];
}

/** A worker that gets no request for a model. */
export interface RefusedWorker {
  /** Of the worker whose card it is. */
  readonly instanceId: bigint;
  /** The model's name on its card. */
  readonly model: string;
  /** One sentence. */
  readonly reason: string;
}

/** What requests bring to a model and answers are made of: token ids, text that only its workers can encode, or tensors. */
export type ModelInput = "tokens" | "text" | "tensor";

/** The workers of one model. */
export interface ModelWorkers {
  /** Digest of the tokenizer that all of them share, in hex: token ids mean this one's. Empty when no card says, and without token ids. */
  readonly tokenizer: string;
  /** The set with the longest servable worker first; none is empty. */
  readonly sets: readonly WorkerSet[];
  /** Those in no set, each with the reason. */
  readonly refused: readonly RefusedWorker[];
}

/**
 * Sorts the workers of one model into sets, the longest servable first, and those that compute prompts alone behind all
 * others. The first decides what prompts travel as, and among token ids the first that names a tokenizer decides the
 * model's: who has another is refused whatever the policy.
 */
export function readModelWorkers(members: readonly Member[], policy: ScopePolicy): ModelWorkers {
  const useful = [...members.filter(isWhole), ...members.filter(isPrefill)];
  const input = readInput(useful[0]?.card);
  const alike = useful.filter(({ card }) => readInput(card) === input);
  const tokenizer =
    input === "tokens" ? (alike.map(({ card }) => tokenizerOf(card)).find((digest) => digest !== "") ?? "") : "";
  const refused: RefusedWorker[] = [];
  const refuse = ({ card }: Member, reason: string): void =>
    void refused.push({ instanceId: card.instanceId, model: card.name, reason });
  for (const member of members) {
    if (!useful.includes(member))
      refuse(member, `Its role is ${readWorkerRole(member.instance)}: it takes no whole requests.`);
    else if (readInput(member.card) !== input) refuse(member, otherInput(readInput(member.card), input));
  }
  const sets: WorkerSet[] = [];
  for (const group of Map.groupBy(alike, ({ card }) => weightsKey(card)).values()) {
    const routing = group.find(({ card }) => card.routing)?.card.routing;
    const workers: SetWorker[] = [];
    for (const member of group) {
      const own = member.card.routing;
      const mismatch = routing && own && routingMismatch(routing, own);
      if (mismatch && policy === "strict") refuse(member, `It has ${mismatch}.`);
      else if (input === "tokens" && tokenizerOf(member.card) !== tokenizer)
        refuse(member, otherTokenizer(member.card));
      else workers.push({ ...member, ...judgeRouting(own, routing, mismatch) });
    }
    const weight = workers.filter(isWhole).reduce((sum, { instance }) => sum + (instance.weight ?? 1), 0);
    if (workers.length > 0) sets.push({ id: weightsId(group[0]?.card.weights), weight, routing, workers });
  }
  return { tokenizer, sets, refused };
}

/** What a card says that requests bring; token ids from an older build, or without a card. */
export function readInput(card: Pick<ModelCard, "input"> | undefined): ModelInput {
  if (card?.input === WireInput.TENSOR) return "tensor";
  return card?.input === WireInput.TEXT ? "text" : "tokens";
}

const INPUT_WORDS = { tokens: "token ids", text: "text", tensor: "tensors" } as const;

/** Why a worker that takes one thing is refused beside those that take another. */
function otherInput(own: ModelInput, others: ModelInput): string {
  return `It takes ${INPUT_WORDS[own]}, and others of this model take ${INPUT_WORDS[others]}.`;
}

function isWhole({ instance }: Member): boolean {
  return takesWholeRequests(readWorkerRole(instance));
}

function isPrefill({ instance }: Member): boolean {
  return takesPromptsAlone(readWorkerRole(instance));
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

/** A file that a card offers. */
export function artifactOf(card: ModelCard, kind: "tokenizer" | "template"): ArtifactRef | undefined {
  return card.artifacts.find((one) => one.kind === kind);
}

/** Digest of a card's tokenizer in hex: of the file that it offers, else the one that it states; empty for neither. */
function tokenizerOf(card: ModelCard): string {
  const offered = artifactOf(card, "tokenizer")?.digest;
  return printHex(offered ?? card.routing?.tokenizerDigest ?? new Uint8Array());
}

function otherTokenizer(card: ModelCard): string {
  return tokenizerOf(card) === "" ? "Its tokenizer is unknown." : "It has another tokenizer.";
}

/** The whole digest decides, its beginning is only shown. */
function weightsKey({ weights }: ModelCard): string {
  return weights ? `${printHex(weights.modelDigest)}-${weights.quantization}` : "";
}

function judgeRouting(
  own: RoutingScope | undefined,
  shared: RoutingScope | undefined,
  mismatch: string | undefined,
): Pick<SetWorker, "kvRouting" | "reason" | "unverified"> {
  if (!own || !shared) return { kvRouting: false, reason: "Its routing scope is unknown.", unverified: true };
  const reason = mismatch ? `Without KV routing: it has ${mismatch}.` : "";
  return { kvRouting: !mismatch, reason, unverified: own.certainty !== Certainty.REPORTED };
}
