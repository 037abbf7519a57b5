import { loadNative } from "#lib/native/addon";
import { openNativeMover } from "#lib/native/transfer";
import { Channel } from "#lib/rpc/channel";
import { xxh3 } from "#lib/tokens/xxh3";
import type { TransferAgent } from "#lib/transfer/agent";
import { Neighbours } from "#lib/transfer/neighbours";
import { openTransferAgent } from "#lib/transfer/open-agent";
import { readTransferLimits } from "#lib/transfer/options";
import type { Pinner } from "#lib/transfer/pinned-staging";
import { PLAIN_RUNGS, PlainMover } from "#lib/transfer/plain-mover";
import { RUNGS } from "#lib/transfer/rung";
import type { ProcessContext } from "../command.ts";
import { openNixl } from "./nixl.ts";
import type { ServiceProcess } from "./process.ts";

/** Ways of the addon's mover alone. */
const NATIVE_RUNGS = RUNGS.filter((rung) => rung !== "nixl");

/** Workers of one process read each other's memory. */
const neighbours = new Neighbours();

/** Opens a worker's part of the data plane, which the worker closes. The metrics hold `TRANSFER_INSTRUMENTS`. */
export async function openTransfer(context: ProcessContext, process: ServiceProcess): Promise<TransferAgent> {
  const { values } = context;
  const { clock, chance, log, metrics, credentials } = process;
  const messageBytes = values["grpc.message-bytes"];
  const { addon } = loadNative();
  return await openTransferAgent({
    ...{ clock, chance, log, metrics },
    ...(await openMover(context, process)),
    neighbours,
    dial: (address) => new Channel(address, credentials, clock, { messageBytes }),
    // Its socket knows a token and no certificates: where peers prove themselves nothing goes past them.
    listen: values["tls.cert"] === undefined ? socketOf(values) : undefined,
    hashBytes: addon?.xxh3 ?? xxh3,
    limits: readTransferLimits(values),
  });
}

/** What moves bytes, as far as this build and this machine go. */
async function openMover(context: ProcessContext, process: ServiceProcess) {
  const native = loadNative();
  const { addon } = native;
  if (!addon) {
    const about = { why: native.unavailable, fix: native.fix };
    // Whoever does all of its answers brings in nothing.
    if (context.values.role !== "aggregated") process.log.warn("blocks come in messages, a slow way", about);
    return { mover: new PlainMover(), rungs: PLAIN_RUNGS };
  }
  const mover = openNativeMover(addon);
  const nixl = await openNixl(context, process, { addon, mover });
  const driver = context.values["transfer.cuda-driver"];
  const pinner: Pinner = { pin: (region) => mover.pin(region, driver) };
  return { mover, nixl, pinner, rungs: nixl ? RUNGS : NATIVE_RUNGS };
}

function socketOf(values: ProcessContext["values"]) {
  return { host: values["grpc.host"], port: values["transfer.tcp-port"], advertised: values["advertise-host"] };
}
