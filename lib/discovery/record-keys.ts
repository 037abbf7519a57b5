import { printId } from "#lib/base/bytes";
import type { DiscoveryRecord } from "./discovery.ts";
import { printSegment } from "./keys.ts";

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

/** The key under which a value belongs. */
export function keyOf({ value }: Pick<DiscoveryRecord, "value">): string {
  if (value.case === "instance") return instanceKey(value.value.instanceId);
  if (value.case === "model") return modelKey(value.value.name, value.value.instanceId);
  return adapterKey(value.value.name, value.value.instanceId);
}
