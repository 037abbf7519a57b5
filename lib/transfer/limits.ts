import type { PinChoice } from "./pinned-staging.ts";
import type { Rung } from "./rung.ts";

/** Blocks that are read or copied in one go at least, however long they are. */
const LEAST_BATCH_BLOCKS = 8;

/** Sessions that one Release may name. */
export const MOST_RELEASED = 1024;

/** Bytes in one message of a Pull. */
export const CHUNK_BYTES = 256 * 1024;

/** Regions that one worker may tell of. */
export const MOST_REGIONS = 16;

/** Workers that are remembered with what is known of their memory; of more, the one that was not used for longest goes. */
export const MOST_PEERS = 256;

/** What a worker bounds and decides of transfers. */
export interface TransferLimits {
  /** The only way that is taken; undefined: the best that works. */
  readonly rung: Rung | undefined;
  /** Whether blocks are checked where they come in. */
  readonly checksum: boolean;
  /** A session is kept for so long after it was last heard of. */
  readonly leaseMs: number;
  /** A fetch of a session ends after so long. */
  readonly deadlineMs: number;
  /** A fetch ends when its worker says nothing for so long while blocks are due. */
  readonly stallMs: number;
  /** Who waits in a room for a prefill waits so long at most. */
  readonly roomMs: number;
  /** A way that has failed is tried again after so long. */
  readonly promoteMs: number;
  /** What is known of a worker that nothing was wanted of for so long is forgotten, and its memory let go. */
  readonly idleMs: number;
  /** Sessions that are kept, and those who wait in rooms. */
  readonly maxSessions: number;
  /** Share of the engine's blocks that sessions may keep, 0 to 1. */
  readonly maxPinnedShare: number;
  /** Fetches that may run or wait here. */
  readonly maxFetches: number;
  /** Blocks that are read or copied in one go have so many bytes together, eight of them whatever they have: more is faster, less lets others in between. */
  readonly batchBytes: number;
  /** Memory for blocks on their way out, and as much again for those on their way in. */
  readonly regionBytes: number;
  /** When memory is pinned for copies to a device and from it. */
  readonly pin: PinChoice;
}

/** The limits when nothing else is asked for. */
export const TRANSFER_LIMITS: TransferLimits = {
  rung: undefined,
  checksum: true,
  leaseMs: 30_000,
  deadlineMs: 30_000,
  stallMs: 5_000,
  roomMs: 120_000,
  promoteMs: 60_000,
  idleMs: 60_000,
  maxSessions: 1024,
  maxPinnedShare: 0.5,
  maxFetches: 256,
  batchBytes: 1024 * 1024,
  regionBytes: 256 * 1024 * 1024,
  pin: "auto",
};

/** Blocks that are read or copied in one go, of memory with places for so many of this size: others need some of it too. */
export function batchBlocks(
  { blockBytes, places }: { readonly blockBytes: number; readonly places: number },
  { batchBytes }: Pick<TransferLimits, "batchBytes">,
): number {
  return Math.max(LEAST_BATCH_BLOCKS, Math.min(Math.floor(batchBytes / blockBytes), places >> 2));
}
