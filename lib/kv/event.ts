/** Where a worker keeps a block: what its engine computes from, memory of its host, its disk, or a store outside of it. */
export const KV_TIERS = ["device", "host", "disk", "external"] as const;

/** One of them, fastest first. */
export type KvTier = (typeof KV_TIERS)[number];

/** A picture, film or sound that takes part in a block: blocks that differ in it are different blocks. */
export interface BlockMedia {
  /** Place of the block among those of the change. */
  readonly block: number;
  /** Hash of the object's content. */
  readonly hash: bigint;
  /** Where its placeholders are, in tokens from the start of the block: [start, end) pairs, ascending. */
  readonly ranges: readonly (readonly [start: number, end: number])[];
}

/** Consecutive blocks of one sequence can be found from now on. The arrays are as long as each other, at least one. */
export interface KvStored {
  readonly kind: "stored";
  /** Where. */
  readonly tier: KvTier;
  /** Attention group of the engine; 0 is the main one, and the only one whose blocks decide about prefixes. */
  readonly group: number;
  /** The engine's name of the block before the first; undefined where the first begins a sequence. */
  readonly parent: bigint | undefined;
  /** The engine's names of the blocks: sequence hashes under its hash scheme, or what it likes. */
  readonly hashes: BigUint64Array;
  /** Local hashes of the blocks under the hash scheme: of their tokens, with adapter and salt in the seed. */
  readonly contents: BigUint64Array;
  /** Adapter that computed them; undefined for the model alone. For people: the seed has it already. */
  readonly adapter: string | undefined;
  /** Names the salt without telling it: its XXH3-64 with the seed 1, 0 for none. For people, as the adapter. */
  readonly saltNamespace: bigint;
  /** Objects in the blocks, ascending by block; usually none. */
  readonly media: readonly BlockMedia[];
}

/** Blocks cannot be found in a tier any more; in any order, some perhaps unknown. */
export interface KvRemoved {
  readonly kind: "removed";
  /** Where from. */
  readonly tier: KvTier;
  /** As of what was stored. */
  readonly group: number;
  /** The engine's names. */
  readonly hashes: BigUint64Array;
}

/** Nothing that this rank had can be found any more, in no tier. */
export interface KvCleared {
  readonly kind: "cleared";
}

/** What happened to the blocks of one rank of a worker. */
export type KvChange = KvStored | KvRemoved | KvCleared;

/** A change, numbered by whoever saw it. Its arrays are shared: read only. */
export interface KvEvent {
  /** From 1, without a gap, within a rank of one incarnation of a worker. */
  readonly id: bigint;
  /** When the worker heard of it, Unix time in milliseconds. */
  readonly unixMs: number;
  /** What happened. */
  readonly change: KvChange;
}

/** What a change did to what was known. */
export interface KvApplied {
  /** Blocks that were not known in that tier before. */
  readonly stored: number;
  /** Blocks that were known, and are not any more. */
  readonly removed: number;
  /** Blocks that were to be removed and were not known: nothing happened to them. */
  readonly absent: number;
  /**
   * The block that the change goes on from was never told: nothing of it was applied, and the worker is asked for all that
   * it keeps. False of a sink that let blocks of this rank go by itself, for room, since its last reset: that is no fault of
   * the worker's, and nothing was stored.
   */
  readonly parentUnknown: boolean;
}

/** How well it is known what one rank of a worker holds. */
export interface KvKnowledge {
  /**
   * `none`: no events come, nothing is known. `recovering`: what was missed is being asked for, what is known stays.
   * `live`: up to the last event. `untrusted`: it told things that cannot be; what it says is not used.
   */
  readonly state: "none" | "recovering" | "live" | "untrusted";
  /** Why it is not live, one sentence; empty when it is. */
  readonly reason: string;
  /** Time from an event at the worker until it was applied here, of the last one, in ms; undefined before the first. */
  readonly lagMs: number | undefined;
  /** Events that the worker has told of and that are not applied. */
  readonly behind: number;
}

/** Who keeps what one rank of one incarnation of a worker holds, such as an index. */
export interface KvSink {
  /** Applies one change; borrows its arrays. */
  apply(change: KvChange): KvApplied;
  /** Forgets all that the rank holds: a snapshot comes, as stored changes, parents first. */
  reset(): void;
  /** How good the knowledge is from now on. */
  know(knowledge: KvKnowledge): void;
}
