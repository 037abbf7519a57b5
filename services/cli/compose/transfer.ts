import { loadNative } from "#lib/native/addon";
import { Channel } from "#lib/rpc/channel";
import { xxh3 } from "#lib/tokens/xxh3";
import type { TransferAgent } from "#lib/transfer/agent";
import { Neighbours } from "#lib/transfer/neighbours";
import { openTransferAgent } from "#lib/transfer/open-agent";
import { readTransferLimits } from "#lib/transfer/options";
import { PLAIN_RUNGS, PlainMover } from "#lib/transfer/plain-mover";
import type { ProcessContext } from "../command.ts";
import type { ServiceProcess } from "./process.ts";

/** Opens a worker's part of the data plane, which the worker closes. The metrics hold `TRANSFER_INSTRUMENTS`. */
export async function openTransfer({ values }: ProcessContext, process: ServiceProcess): Promise<TransferAgent> {
  const { clock, chance, log, metrics, credentials } = process;
  const messageBytes = values["grpc.message-bytes"];
  return await openTransferAgent({
    ...{ clock, chance, log, metrics },
    mover: new PlainMover(),
    rungs: PLAIN_RUNGS,
    neighbours: new Neighbours(),
    dial: (address) => new Channel(address, credentials, clock, { messageBytes }),
    listen: undefined,
    hashBytes: loadNative().addon?.xxh3 ?? xxh3,
    limits: readTransferLimits(values),
  });
}
