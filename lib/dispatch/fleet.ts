import { type InstanceRecord, InstanceState, type ModelCard } from "#gen/stator/discovery/v1/discovery_pb";
import { readTaints } from "#lib/base/taint";
import type { Models } from "#lib/discovery/models";
import { readWorkerRole } from "#lib/discovery/worker-role";
import { readInput, type SetWorker, type WorkerSet, weightsId } from "#lib/discovery/worker-sets";
import { parseLayout } from "#lib/kv/transfer-scope";
import { parseTimePrior } from "#lib/perf/time-prior";
import type { Fleet, FleetRole, FleetWorker, KvFormat } from "#lib/routing/fleet";

/** Whoever is in another state has no request of anybody. */
const SERVES: ReadonlySet<InstanceState> = new Set([InstanceState.READY, InstanceState.DRAINING]);

/** The workers that are there, as a router looks at them: the verdict of discovery in the words of routing. */
export function fleetOf({ workers, names }: Models): Fleet {
  const fleet = new Map<bigint, FleetWorker>();
  // Of one without a card that takes nothing, because it loads or has failed, nothing is to be said.
  for (const [worker, instance] of workers) if (SERVES.has(instance.state)) fleet.set(worker, readInstance(instance));
  for (const { name, model, parent, sets } of names.values()) {
    // An alias and an adapter have the workers of their model.
    if (name !== model || parent !== undefined) continue;
    for (const set of sets) for (const member of set.workers) fleet.set(member.instance.instanceId, read(member, set));
  }
  return fleet;
}

/** As much as its record says, before it has a card or where its card is refused. */
function readInstance(instance: InstanceRecord): FleetWorker {
  const { instanceId, incarnation, totalKvBlocks, maxRunningRequests, taints } = instance;
  const ranks = Math.max(1, instance.ranks);
  return {
    worker: instanceId,
    incarnation,
    ranks,
    weights: weightsId(undefined),
    scope: undefined,
    why: "It has no model card.",
    reuseTokens: 1,
    totalBlocks: totalKvBlocks === undefined ? undefined : Math.floor(Number(totalKvBlocks) / ranks),
    maxRunningRequests: maxRunningRequests || undefined,
    taints: readTaints(taints),
    prior: undefined,
    ...roleOf(instance),
  };
}

function formatOf({ transfer, routing }: Pick<ModelCard, "transfer" | "routing">): { readonly kv?: KvFormat } {
  if (!transfer) return {};
  const { layers, keyRowBytes, valueRowBytes } = transfer;
  const tokenBytes = Math.max(1, layers * (keyRowBytes + valueRowBytes));
  const layout = parseLayout(transfer, routing?.blockTokens ?? 1);
  return { kv: { tokenBytes, layout, hashScheme: routing?.hashScheme ?? "" } };
}

/** Those that do all of a request are not named; of others than these there is nothing to be placed. */
function roleOf(instance: InstanceRecord): { readonly role?: FleetRole } {
  const role = readWorkerRole(instance);
  return role === "prefill" || role === "decode" ? { role } : {};
}

function read({ instance, card, kvRouting, reason }: SetWorker, set: WorkerSet): FleetWorker {
  const { routing, reuseTokens, timePrior } = card;
  if (readInput(card) === "tensor") return { ...readInstance(instance), weights: set.id, why: "", noPrompts: true };
  return {
    ...readInstance(instance),
    weights: set.id,
    scope: kvRouting && routing ? { blockTokens: routing.blockTokens, hashScheme: routing.hashScheme } : undefined,
    why: reason,
    reuseTokens: reuseTokens || routing?.blockTokens || 1,
    prior: parseTimePrior(timePrior),
    ...formatOf(card),
  };
}
