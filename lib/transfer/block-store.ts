/** Consecutive blocks of one sequence that stay in their engine's pool until they are let go. */
export interface PinnedRun {
  /** Place of the first one in its sequence. */
  readonly index: number;
  /** How many there are. */
  readonly count: number;
  /** Lets them go. Once, and not while they are being read. */
  unpin(): void;
}

/** The blocks that somebody wants to bring in: those of the first `blocks` of a sequence that are lacking. */
export interface WantedBlocks {
  /** Tokens of the sequence from its start, at least those of `blocks` blocks. */
  readonly tokens: Uint32Array;
  /** Blocks of the sequence, from its first on, that shall be there. */
  readonly blocks: number;
  /** As a request's: blocks are shared within one salt. */
  readonly cacheSalt: string;
  /** As a request's; undefined: the base model. */
  readonly adapter: string | undefined;
}

/** Blocks that are coming in. They have their places in the pool and are not found by anybody yet. */
export interface IncomingBlocks {
  /** The first block that is lacking, by its place in the sequence; those before it stay as long as this is open. */
  readonly from: number;
  /**
   * Puts the bytes of the next blocks into the engine, between its steps, and resolves with how many of them are good: those
   * before the first whose XXH3-64 (seed CHECKSUM_SEED) is not what `checksums` says. Borrows the arrays until it resolves.
   * One call at a time.
   */
  write(payloads: readonly Uint8Array[], checksums: BigUint64Array | undefined): Promise<number>;
  /**
   * Lets requests find what is in place, and gives the rest back. Returns how many blocks of the sequence are there now: none
   * when their adapter has gone meanwhile. Once.
   */
  close(): number;
}

/** What the places of a pool hold, in blocks; the rest of it is empty. */
export interface BlockPlaces {
  /** Somebody needs them: requests, sessions, or blocks that are on their way in. */
  readonly used: number;
  /** They are kept for whoever comes, and given away when a place is needed. */
  readonly cached: number;
}

/** Where the bytes of blocks are between a device and whoever moves them. */
export interface BlockStaging {
  /** Who computes: a device of CUDA copies pinned memory by itself, past the processor. */
  readonly device: "cuda" | "other";
  /** What passes at once. */
  readonly sizeBytes: number;
  /**
   * From now on they pass through this memory; undefined: through the engine's own again. Borrowed until a call with another one
   * has resolved, or the engine is closed. Rejects when it is.
   */
  use(memory: Uint8Array | undefined): Promise<void>;
}

/**
 * The blocks of one engine, as transfers look at them. Bytes of a block lie as the layout of the engine's card says and are
 * moved between steps, a few at a time.
 */
export interface BlockStore {
  /** As it is now. */
  readonly places: BlockPlaces;
  /** Undefined where blocks need no such place. */
  readonly staging?: BlockStaging | undefined;
  /** How many of these consecutive blocks, named by their sequence hashes, are there now: from the first on, without a gap. */
  count(hashes: BigUint64Array): number;
  /** Keeps those of them that are there, and all before them in the sequence. */
  pin(hashes: BigUint64Array): PinnedRun;
  /**
   * Copies the bytes of blocks of a run, from its `from`-th on, into the arrays, one block each; resolves with their XXH3-64
   * (seed CHECKSUM_SEED), made in the pass that copies. Borrows the arrays until it resolves.
   */
  read(run: PinnedRun, from: number, into: readonly Uint8Array[]): Promise<BigUint64Array>;
  /** Begins to bring blocks in. Throws LIMIT when there is no room for them now, MODEL_NOT_FOUND for an adapter that is not loaded. */
  open(wanted: WantedBlocks): IncomingBlocks;
}
