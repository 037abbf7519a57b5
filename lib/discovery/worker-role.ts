import { type InstanceRecord, WorkerRole as WireRole } from "#gen/stator/discovery/v1/discovery_pb";

/** What part of a request a worker does. */
export type WorkerRole = "aggregated" | "prefill" | "decode" | "encode";

/** Roles that a worker of text can have; encode is reserved. */
export const TEXT_ROLES = ["aggregated", "prefill", "decode"] as const satisfies readonly WorkerRole[];

/** Roles as records have them. */
export const WIRE_ROLES = {
  aggregated: WireRole.AGGREGATED,
  prefill: WireRole.PREFILL,
  decode: WireRole.DECODE,
  encode: WireRole.ENCODE,
} as const satisfies Readonly<Record<WorkerRole, WireRole>>;

/** A worker's role; `unknown` is one that only a newer build has. */
export function readWorkerRole({ workerRole }: Pick<InstanceRecord, "workerRole">): WorkerRole | "unknown" {
  if (workerRole === WireRole.UNSPECIFIED) return "aggregated";
  const found = Object.entries(WIRE_ROLES).find(([, wire]) => wire === workerRole);
  return (found?.[0] as WorkerRole | undefined) ?? "unknown";
}

/** Whether a worker of this role computes prompts whose answers are made elsewhere. */
export function takesPromptsAlone(role: WorkerRole | "unknown"): boolean {
  return role === "prefill";
}

/** Whether a worker of this role can be given a request as a client asks it: from its prompt to its end. */
export function takesWholeRequests(role: WorkerRole | "unknown"): boolean {
  return role === "aggregated" || role === "decode";
}
