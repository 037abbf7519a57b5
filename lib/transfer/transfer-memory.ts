import { asStatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import type { Mover, OwnRegion } from "./mover.ts";
import { SlotQueue } from "./slot-queue.ts";

/** Places for blocks that a region has at least. */
const LEAST_SLOTS = 4;

/** How memory is opened. */
export interface TransferMemoryOptions {
  /** Opens it. */
  readonly mover: Mover;
  /** Of a block. */
  readonly blockBytes: number;
  /** About so much. */
  readonly regionBytes: number;
  /** Who may wait for places at once. */
  readonly maxWaiting: number;
  /** Told when there is only memory that nobody else can read. */
  readonly log: Log;
}

/** A region as places for blocks. */
export class TransferMemory {
  readonly region: OwnRegion;
  readonly slots: SlotQueue;
  readonly blockBytes: number;
  /** Whether a mover can read it and write it; messages and neighbours can in any case. */
  readonly isMovable: boolean;

  constructor(options: TransferMemoryOptions) {
    const { mover, blockBytes, regionBytes, maxWaiting, log } = options;
    const count = Math.max(LEAST_SLOTS, Math.floor(regionBytes / blockBytes));
    this.blockBytes = blockBytes;
    this.slots = new SlotQueue(count, maxWaiting);
    const opened = open(mover, count * blockBytes, log);
    this.region = opened ?? privateRegion(LEAST_SLOTS * blockBytes);
    this.isMovable = opened !== undefined;
    if (!opened) this.slots = new SlotQueue(LEAST_SLOTS, maxWaiting);
  }

  /** The bytes of a place. */
  bytes(slot: number): Uint8Array {
    return this.region.bytes.subarray(slot * this.blockBytes, (slot + 1) * this.blockBytes);
  }

  /** Where places begin in the region. */
  offsets(slots: readonly number[]): BigUint64Array {
    return BigUint64Array.from(slots, (slot) => BigInt(slot) * BigInt(this.blockBytes));
  }

  /** Gives the region back. */
  close(): void {
    this.region.close();
  }
}

function open(mover: Mover, sizeBytes: number, log: Log): OwnRegion | undefined {
  try {
    return mover.openRegion(sizeBytes);
  } catch (caught) {
    log.warn("no memory that other workers could read", { sizeBytes, error: asStatorError(caught) });
    return undefined;
  }
}

/** Memory of this process alone, as little as will do. */
function privateRegion(sizeBytes: number): OwnRegion {
  return { id: 0, bytes: new Uint8Array(sizeBytes), memoryFile: undefined, address: 0n, close() {} };
}
