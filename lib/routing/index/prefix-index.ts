import type { KvApplied, KvChange, KvTier } from "#lib/kv/event";

/** A prompt as its blocks, which are hashed when somebody asks: a match that ends early costs little. */
export interface PromptBlocks {
  /** Complete blocks of the prompt. */
  readonly length: number;
  /** Local hashes, of which at least the first `to` are there; `to` is at most `length`. Stays the owner's. */
  contents(to: number): BigUint64Array;
}

/** How many blocks of a prompt each holder has in a row, by slot. One is used again for every query. */
export interface Overlaps {
  /** Blocks from the first on in the tier that the engine computes from. */
  readonly device: Uint32Array;
  /** Blocks that follow on those of the device, in memory of its host. */
  readonly host: Uint32Array;
  /** Blocks that follow on those, on its disk. */
  readonly disk: Uint32Array;
  /** Blocks that follow on those, in a store outside. */
  readonly external: Uint32Array;
}

/**
 * Who holds which prefix, for one weight set, block size and hash scheme. A holder is one rank of a worker and has a
 * dense slot, which is given to another after it left. A block that is stored twice is stored once.
 */
export interface PrefixIndex {
  /** (block, holder, tier) entries. */
  readonly entries: number;
  /** Memory that it takes, in bytes. */
  readonly bytes: number;
  /** Slots that were given, the free ones among them: the length that Overlaps need. */
  readonly slots: number;
  /** A holder comes. */
  join(): number;
  /** A holder goes, with all that it has. */
  leave(slot: number): void;
  /** Entries of a holder in a tier. */
  held(slot: number, tier: KvTier): number;
  /** Applies a change; changes of other groups than 0 do nothing. */
  apply(slot: number, change: KvChange): KvApplied;
  /** Entries that are expected soon, or that nobody tells of: they end at `untilMs` unless they are said again. */
  expect(slot: number, prompt: PromptBlocks, untilMs: number): void;
  /** Lets expected entries go whose time has come. */
  expire(nowMs: number): void;
  /** What each holder has of a prompt, events and expectations together. */
  match(prompt: PromptBlocks, into: Overlaps): void;
}
