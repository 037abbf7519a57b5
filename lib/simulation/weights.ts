import { create } from "@bufbuild/protobuf";
import {
  InstanceRecordSchema,
  InstanceRole,
  type InstanceState,
  type ModelCard,
  ModelCardSchema,
} from "#gen/stator/discovery/v1/discovery_pb";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { WIRE_ROLES, type WorkerRole } from "#lib/discovery/worker-role";
import type { Engine, EngineCard } from "#lib/engines/engine";
import { createMock, type MockModel } from "#lib/engines/mock/mock-engine";
import type { MockOptions } from "#lib/engines/mock/mock-options";
import { printLayout } from "#lib/kv/transfer-scope";

/** Under which name every worker of a world serves. */
export const MODEL = "m";

/** Other weights of the same model. */
export interface Weights {
  /** What names them on cards. */
  readonly word: string;
  /** Tokens of a block: what the mock says depends on its blocks, so that others have a text of their own. */
  readonly blockTokens: number;
}

/** Those of most workers, and those of a few. */
export const WEIGHTS: readonly Weights[] = [
  { word: "one", blockTokens: 16 },
  { word: "two", blockTokens: 8 },
];

/** Tokens of the longest request, and of the pool. Small, so that requests wait, are refused and lose their blocks. */
const CONTEXT_TOKENS = 192;
const POOL_TOKENS = 512;

/** An engine with such weights. */
export function createEngine(
  model: MockModel,
  weights: Weights,
  options: Pick<MockOptions, "clock" | "log" | "timing" | "lateMs" | "instantTokens" | "maxRunning" | "maxWaiting">,
): Engine {
  const { blockTokens } = weights;
  const size = { blocks: POOL_TOKENS / blockTokens, contextTokens: CONTEXT_TOKENS, maxBatchTokens: 96 };
  return createMock(model, { model: MODEL, blockTokens, ...size, ...options });
}

/** Who a worker is, and whether it takes requests. */
export interface WorkerFacts {
  /** Kept by some that start again. */
  readonly instanceId: bigint;
  /** Drawn at each start, and anew when its lease lapsed. */
  readonly incarnation: bigint;
  /** Where the network finds it. */
  readonly address: string;
  /** What part of requests it does. */
  readonly role: WorkerRole;
  /** It takes requests only when this is READY. */
  readonly state: InstanceState;
  /** Why it does not. */
  readonly reason: string;
  /** Words that requests may prefer. */
  readonly taints: readonly string[];
}

/** What a worker publishes; its card when its engine is there. */
export function recordsOf(facts: WorkerFacts, weights: Weights, card: EngineCard | undefined): DiscoveryRecord[] {
  const { role, ...others } = facts;
  const { instanceId } = others;
  const instance = create(InstanceRecordSchema, {
    ...others,
    role: InstanceRole.WORKER,
    workerRole: WIRE_ROLES[role],
    models: [MODEL],
    taints: [...facts.taints],
    ranks: 1,
    maxRunningRequests: card?.maxRunningRequests ?? 0,
    totalKvBlocks: card?.totalBlocks === undefined ? undefined : BigInt(card.totalBlocks),
  });
  const records: DiscoveryRecord[] = [{ key: instanceKey(instanceId), value: { case: "instance", value: instance } }];
  if (!card) return records;
  const value = cardOf(instanceId, weights, card);
  return [...records, { key: modelKey(MODEL, instanceId), value: { case: "model", value } }];
}

/** What names weights on cards, and to those who read blocks of them. */
export function digestOf({ word }: Weights): Uint8Array {
  return new TextEncoder().encode(word);
}

function cardOf(instanceId: bigint, weights: Weights, card: EngineCard): ModelCard {
  const { blockTokens, hashScheme, contextTokens, layout } = card;
  return create(ModelCardSchema, {
    name: MODEL,
    instanceId,
    contextTokens,
    routing: { blockTokens, hashScheme, tokenizerDigest: card.artifacts[0]?.digest },
    reuseTokens: card.reuseTokens ?? 0,
    timePrior: card.times && { ...card.times },
    weights: { modelDigest: digestOf(weights), quantization: card.quantization },
    transfer: layout && printLayout(layout),
  });
}
