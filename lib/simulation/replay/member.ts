import type { Chance } from "#lib/base/chance";
import { silentLog as log } from "#lib/host/log";
import type { KvLayout } from "#lib/kv/layout";
import type { FleetWorker } from "#lib/routing/fleet";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import type { TransferSpeed } from "./moving/transfer-net.ts";
import { type OwnShape, type Profile, scaled, spedUp } from "./profile.ts";
import { type ReplayRouting, WEIGHTS } from "./replay-router.ts";
import { ReplayWorker, type WorkerListener, type WorkerShape, type WorkerSurroundings } from "./replay-worker.ts";
import { workerAt } from "./worker-id.ts";

/** What part of requests a worker does. */
export type WorkerRole = NonNullable<FleetWorker["role"]>;

/** What the workers of a cluster are made of. */
export interface MemberOptions extends Omit<WorkerShape, "profile">, Omit<WorkerSurroundings, "log"> {
  /** How fast they are. */
  readonly profile: Profile;
  /** What part of requests each does, by its place; all of it where nothing is said. */
  readonly roles?: readonly WorkerRole[];
  /** What is said of workers alone, by their places. */
  readonly own?: ReadonlyMap<number, OwnShape>;
  /** How much faster than its profile each is, by its place; 1 where nothing is said. */
  readonly speeds?: ReadonlyMap<number, number>;
  /** How KV moves between them. */
  readonly transfer: TransferSpeed;
  /** How the frontend routes. */
  readonly routing: ReplayRouting;
  /** Borrowed. */
  readonly chance: Chance;
}

/** A worker, and what the router knows of it. */
export interface Member {
  /** It. */
  readonly worker: ReplayWorker;
  /** As its record says it. */
  readonly fleet: FleetWorker;
}

/** The worker of a place, with an empty cache. `incarnation`: another one each time. */
export function createMember(
  { at, incarnation }: { readonly at: number; readonly incarnation: bigint },
  options: MemberOptions,
  listener: WorkerListener,
): Member {
  const { own, speeds, roles, profile: usual, clock, hashes, routing, chance, gaps, transfer, ...common } = options;
  const { profile: ownProfile = usual, blocks = common.blocks } = own?.get(at) ?? {};
  const profile = spedUp(ownProfile, speeds?.get(at) ?? 1);
  const { prior = 0 } = routing.errors ?? {};
  const isSlow = prior > 0 && chance.next() < 0.5;
  const fleet: FleetWorker = {
    worker: workerAt(at),
    incarnation,
    ranks: 1,
    weights: WEIGHTS,
    scope: { blockTokens: hashes.blockTokens, hashScheme: HASH_SCHEME },
    why: "",
    reuseTokens: profile.chunkTokens ?? hashes.blockTokens,
    totalBlocks: blocks,
    maxRunningRequests: profile.maxRunning,
    taints: new Set(),
    kv: { tokenBytes: transfer.tokenBytes, layout: layoutOf(transfer, hashes.blockTokens), hashScheme: HASH_SCHEME },
    role: roles?.[at] ?? "aggregated",
    prior: scaled(profile.times, Math.exp(isSlow ? -prior : prior)),
  };
  const worker = new ReplayWorker({ ...common, blocks, profile }, listener, { clock, hashes, log, gaps });
  return { worker, fleet };
}

function layoutOf({ tokenBytes }: MemberOptions["transfer"], blockTokens: number): KvLayout {
  const rows = { layers: 1, keyRowBytes: tokenBytes, valueRowBytes: 0 };
  return { ...rows, blockTokens, elementType: "u8", engineFormat: WEIGHTS, order: "layer-kind" };
}
