import { createHash } from "node:crypto";
import { SeededChance } from "#lib/base/chance";
import { silentLog } from "#lib/host/log";
import { noMetrics } from "#lib/host/metrics";
import { systemClock } from "#lib/host/system-clock";
import { blockBytes, type KvLayout } from "#lib/kv/layout";
import type { NativeAddon } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { Channel } from "#lib/rpc/channel";
import { loopbackCredentials } from "#lib/rpc/credentials";
import { openServer } from "#lib/rpc/server";
import { HASH_SCHEME } from "#lib/tokens/block-hash";
import type { TransferAgent, TransferPrompt } from "#lib/transfer/agent";
import type { BlockStore } from "#lib/transfer/block-store";
import { TRANSFER_LIMITS } from "#lib/transfer/limits";
import { Neighbours } from "#lib/transfer/neighbours";
import { openTransferAgent } from "#lib/transfer/open-agent";
import { RUNGS, type Rung } from "#lib/transfer/rung";

/** Whose blocks a party lends and brings in. */
export interface PartyBlocks {
  readonly store: BlockStore;
  readonly total: number;
  readonly layout: KvLayout;
}

/** One side of a transfer: an agent over the addon's mover and a gRPC port. `number` is its own; `rung` the only way. */
export async function openParty(
  addon: NativeAddon,
  { store, total, layout }: PartyBlocks,
  { number, rung }: { readonly number: bigint; readonly rung?: Rung },
): Promise<TransferAgent> {
  const agent = await openTransferAgent({
    ...{ mover: openNativeMover(addon), rungs: RUNGS.filter((each) => each !== "nixl"), neighbours: new Neighbours() },
    ...{ listen: { host: "127.0.0.1", port: 0 }, hashBytes: addon.xxh3 },
    ...{ clock: systemClock, chance: new SeededChance(number), log: silentLog, metrics: noMetrics },
    dial: (address) => new Channel(address, loopbackCredentials, systemClock),
    limits: { ...TRANSFER_LIMITS, rung, maxPinnedShare: 1, regionBytes: 64 * blockBytes(layout) },
  });
  const listen = { credentials: loopbackCredentials, clock: systemClock, log: silentLog, metrics: noMetrics };
  const { address } = await openServer({ ...listen, host: "127.0.0.1", port: 0, services: [agent.service] });
  agent.serve({
    ...{ blocks: store, totalBlocks: total, layout, hashScheme: HASH_SCHEME },
    modelDigest: createHash("sha256").digest(),
    identity: () => ({ instanceId: number, incarnation: number, address }),
  });
  return agent;
}

/** A prompt of so many tokens of a small vocabulary, another one for each seed. */
export function promptOf(tokens: number, seed: number): TransferPrompt {
  let state = (seed * 2_654_435_761 + 1) >>> 0;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 300 + ((state >>> 8) % 1700);
  };
  return { tokens: Uint32Array.from({ length: tokens }, next), cacheSalt: "", adapter: undefined };
}
