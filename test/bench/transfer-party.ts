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
import { TRANSFER_LIMITS } from "#lib/transfer/limits";
import { Neighbours } from "#lib/transfer/neighbours";
import { openTransferAgent } from "#lib/transfer/open-agent";
import { RUNGS, type Rung } from "#lib/transfer/rung";
import { BlockPool } from "./block-pool.ts";

/** A block has 1 MiB. */
export const LAYOUT: KvLayout = {
  ...{ layers: 16, blockTokens: 64, keyRowBytes: 512, valueRowBytes: 512 },
  ...{ elementType: "f16", engineFormat: "bench-1", order: "layer-kind" },
};

/** One side of a transfer: the agent over the addon's mover, blocks without an engine, and a gRPC port. */
export async function openParty(
  addon: NativeAddon,
  { blocks, rung, number }: { readonly blocks: number; readonly rung: Rung | undefined; readonly number: bigint },
): Promise<TransferAgent> {
  const sizes = { blockBytes: blockBytes(LAYOUT), poolBytes: blocks * blockBytes(LAYOUT) };
  const agent = await openTransferAgent({
    ...{ mover: openNativeMover(addon), rungs: RUNGS.filter((each) => each !== "nixl"), neighbours: new Neighbours() },
    ...{ listen: { host: "127.0.0.1", port: 0 }, hashBytes: addon.xxh3 },
    ...{ clock: systemClock, chance: new SeededChance(number), log: silentLog, metrics: noMetrics },
    dial: (address) => new Channel(address, loopbackCredentials, systemClock),
    limits: { ...TRANSFER_LIMITS, rung, maxPinnedShare: 1, regionBytes: 64 * sizes.blockBytes },
  });
  const listen = { credentials: loopbackCredentials, clock: systemClock, log: silentLog, metrics: noMetrics };
  const { address } = await openServer({ ...listen, host: "127.0.0.1", port: 0, services: [agent.service] });
  agent.serve({
    ...{ blocks: new BlockPool(addon, sizes, rung === undefined), totalBlocks: blocks, layout: LAYOUT },
    ...{ modelDigest: createHash("sha256").digest(), hashScheme: HASH_SCHEME },
    identity: () => ({ instanceId: number, incarnation: number, address }),
  });
  return agent;
}

/** The prompt of so many blocks that a pass moves. */
export function promptOf(blocks: number): TransferPrompt {
  const tokens = Uint32Array.from({ length: blocks * LAYOUT.blockTokens }, (_, at) => at);
  return { tokens, cacheSalt: "", adapter: undefined };
}
