import { create } from "@bufbuild/protobuf";
import { Certainty } from "#gen/stator/common/v1/common_pb";
import {
  AdapterCardSchema,
  type Capabilities,
  CapabilitiesSchema,
  type InstanceRecord,
  InstanceRecordSchema,
  InstanceRole,
  InstanceState,
  type ModelCard,
  ModelCardSchema,
  ModelInput,
  Determinism as WireDeterminism,
} from "#gen/stator/discovery/v1/discovery_pb";
import type { Determinism } from "#lib/base/determinism";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import { adapterKey, instanceKey, modelKey } from "#lib/discovery/record-keys";
import { WIRE_ROLES, type WorkerRole } from "#lib/discovery/worker-role";
import type { EngineCapabilities, EngineCard, LoadedAdapter } from "#lib/engines/engine";
import { printLayout } from "#lib/kv/transfer-scope";

/** Who a worker is. */
export interface Identity {
  /** Drawn at its start, the same until it ends. */
  readonly instanceId: bigint;
  /** Drawn at its start and anew whenever its lease lapsed. */
  readonly incarnation: bigint;
  /** host:port of its gRPC port. */
  readonly address: string;
  /** Of Stator. */
  readonly version: string;
  /** What part of requests it does. */
  readonly role: WorkerRole;
  /** Engine it runs or tries to run. */
  readonly engine: string;
  /** Model names that it serves or will serve. */
  readonly models: readonly string[];
  /** Other names for its model. */
  readonly aliases: readonly string[];
  /** Words for it, which requests may require or prefer. */
  readonly taints: readonly string[];
  /** What is spelled like a control token in a message to its model is one. */
  readonly markersInContent: boolean;
  /** Full names of the services it answers. */
  readonly services: readonly string[];
}

/** Place of a worker in its life. */
export interface WorkerState {
  /** Requests go to it only when it is ready. */
  readonly state: "loading" | "ready" | "draining" | "asleep" | "failed";
  /** One sentence when it is not ready, else empty. */
  readonly reason: string;
}

const STATES = {
  loading: InstanceState.LOADING,
  ready: InstanceState.READY,
  draining: InstanceState.DRAINING,
  asleep: InstanceState.ASLEEP,
  failed: InstanceState.FAILED,
} as const;

const DETERMINISMS = {
  no: WireDeterminism.NO,
  alone: WireDeterminism.ALONE,
  batch: WireDeterminism.BATCH,
} as const satisfies Record<Determinism, WireDeterminism>;

/** The record of the process. `card` is absent until its model is loaded. */
export function instanceRecord(identity: Identity, at: WorkerState, card: EngineCard | undefined): InstanceRecord {
  return create(InstanceRecordSchema, {
    instanceId: identity.instanceId,
    incarnation: identity.incarnation,
    role: InstanceRole.WORKER,
    address: identity.address,
    state: STATES[at.state],
    reason: at.reason,
    services: [...identity.services],
    models: [...identity.models],
    engine: identity.engine,
    workerRole: WIRE_ROLES[identity.role],
    engineDescription: card && describeEngine(card),
    taints: [...identity.taints],
    ranks: 1,
    maxRunningRequests: card?.maxRunningRequests ?? 0,
    totalKvBlocks: card?.totalBlocks === undefined ? undefined : BigInt(card.totalBlocks),
    version: identity.version,
  });
}

function describeEngine({ software, facts }: EngineCard) {
  return { ...software, facts: Object.fromEntries(facts.map(({ what, value }) => [what, value])) };
}

/** The card of the model that a worker serves. */
export function modelCard(identity: Identity, card: EngineCard, createdUnixSeconds: number): ModelCard {
  const certainty = Certainty.REPORTED;
  const { modelDigest, quantization } = card;
  return create(ModelCardSchema, {
    name: card.model,
    instanceId: identity.instanceId,
    aliases: [...identity.aliases],
    contextTokens: card.contextTokens ?? 0,
    routing: routingScope(card),
    weights: modelDigest.length > 0 || quantization !== "" ? { modelDigest, quantization, certainty } : undefined,
    transfer: card.layout && printLayout(card.layout),
    capabilities: wireCapabilities(card.capabilities),
    defaultSampling: { ...card.defaultSampling },
    deterministic: DETERMINISMS[card.deterministic],
    reuseTokens: card.reuseTokens ?? 0,
    input: card.input === "text" ? ModelInput.TEXT : ModelInput.TOKENS,
    markersInContent: identity.markersInContent,
    timePrior: card.times && { ...card.times },
    artifacts: card.artifacts.map(({ kind, format, digest: sha, content }) => ({
      kind,
      format,
      digest: sha,
      sizeBytes: BigInt(content.byteLength),
    })),
    createdUnixSeconds: BigInt(createdUnixSeconds),
    ownedBy: "stator",
  });
}

/** Nobody can route by prefixes of an engine that does not say how it keeps them. */
function routingScope({ blockTokens, hashScheme, artifacts }: EngineCard) {
  if (blockTokens === undefined || hashScheme === "") return undefined;
  const digest = (kind: string) => artifacts.find((artifact) => artifact.kind === kind)?.digest ?? new Uint8Array(0);
  const digests = { tokenizerDigest: digest("tokenizer"), templateDigest: digest("template") };
  return { blockTokens, hashScheme, ...digests, certainty: Certainty.REPORTED };
}

/** What nobody knows keeps false or 0 and is named; the fields have the same names on both sides. */
function wireCapabilities({ missing, ...capabilities }: EngineCapabilities): Capabilities {
  const message = create(CapabilitiesSchema, { missing: { ...missing } });
  for (const [name, value] of Object.entries(capabilities)) {
    if (value === undefined || value === "unknown") message.unknown.push(name);
    else Object.assign(message, { [name]: value });
  }
  return message;
}

/** The records of a worker, ready to register. */
export function workerRecords(
  identity: Identity,
  at: WorkerState,
  served: { card: EngineCard; createdUnixSeconds: number; adapters: readonly LoadedAdapter[] } | undefined,
): DiscoveryRecord[] {
  const { instanceId } = identity;
  const instance = instanceRecord(identity, at, served?.card);
  const records: DiscoveryRecord[] = [{ key: instanceKey(instanceId), value: { case: "instance", value: instance } }];
  if (!served) return records;
  const { card, createdUnixSeconds, adapters } = served;
  const model = modelCard(identity, card, createdUnixSeconds);
  records.push({ key: modelKey(card.model, instanceId), value: { case: "model", value: model } });
  for (const { name, digest } of adapters) {
    const adapter = create(AdapterCardSchema, { name, instanceId, baseModel: card.model, digest });
    records.push({ key: adapterKey(name, instanceId), value: { case: "adapter", value: adapter } });
  }
  return records;
}
