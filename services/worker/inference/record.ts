import { create } from "@bufbuild/protobuf";
import { EngineDescriptionSchema, ModelCardSchema, ModelInput } from "#gen/stator/discovery/v1/discovery_pb";
import type { DiscoveryRecord } from "#lib/discovery/discovery";
import { instanceKey, modelKey } from "#lib/discovery/record-keys";
import { type Identity, instanceRecord, type WorkerState } from "../record.ts";

/** What others are told of a model of tensors; the rest they ask for. */
export interface TensorFacts {
  /** The `model_name` of its requests. */
  readonly name: string;
  /** Other names for it, which requests may bring as well. */
  readonly aliases: readonly string[];
  /** What computes it; empty when nobody knows. */
  readonly platform: string;
  /** It is called on a stream alone. */
  readonly decoupled: boolean;
  /** Unix seconds at which it became servable here. */
  readonly createdUnixSeconds: number;
}

/** What others are told of a worker of tensors. */
export interface TensorStanding {
  /** Its models that answer now. */
  readonly models: readonly TensorFacts[];
  /** host:port that frontends dial for them; empty for the worker's own. */
  readonly inferenceAddress: string;
  /** Requests that it computes at once; 0 while nobody knows. */
  readonly maxRunning: number;
  /** What computes in it; its name is empty when nobody knows. */
  readonly software: { readonly name: string; readonly version: string };
}

/** The records of a worker of tensors, ready to register. */
export function tensorRecords(identity: Identity, at: WorkerState, standing: TensorStanding): DiscoveryRecord[] {
  const { instanceId } = identity;
  const { models, inferenceAddress, maxRunning, software } = standing;
  const instance = instanceRecord(identity, at, undefined);
  instance.inferenceAddress = inferenceAddress;
  instance.maxRunningRequests = maxRunning;
  if (software.name !== "") instance.engineDescription = create(EngineDescriptionSchema, { ...software });
  const cards = models.map(({ name, aliases, platform, decoupled, createdUnixSeconds }): DiscoveryRecord => {
    const card = create(ModelCardSchema, {
      name,
      instanceId,
      aliases: [...aliases],
      createdUnixSeconds: BigInt(createdUnixSeconds),
      ownedBy: "stator",
      input: ModelInput.TENSOR,
      capabilities: { missing: NOTHING_OF_TEXT },
      tensor: { platform, decoupled },
    });
    return { key: modelKey(name, instanceId), value: { case: "model", value: card } };
  });
  return [{ key: instanceKey(instanceId), value: { case: "instance", value: instance } }, ...cards];
}

/** Why such a model does nothing that models of text do. */
const NOTHING_OF_TEXT = { generate: "it takes tensors", embed: "it takes tensors" };
