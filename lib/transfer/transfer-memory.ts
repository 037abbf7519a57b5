import type { Clock, Timer } from "#lib/base/clock";
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
  /** Of places that somebody may still read. */
  readonly #later = new Set<Timer>();

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

  /** Places that it has. */
  get places(): number {
    return this.slots.count;
  }

  /** The bytes of a place. */
  bytes(slot: number): Uint8Array {
    return this.region.bytes.subarray(slot * this.blockBytes, (slot + 1) * this.blockBytes);
  }

  /** Where places begin in the region. */
  offsets(slots: readonly number[]): BigUint64Array {
    return BigUint64Array.from(slots, (slot) => BigInt(slot) * BigInt(this.blockBytes));
  }

  /** Gives places back after so long, when nobody reads them any more. */
  giveAfter(delayMs: number, slots: readonly number[], clock: Clock): void {
    const timer = clock.after(delayMs, () => {
      this.#later.delete(timer);
      this.slots.give(slots);
    });
    this.#later.add(timer);
  }

  /** Gives the region back. */
  close(): void {
    for (const timer of this.#later) timer.cancel();
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
