import type { KvApplied, KvChange, KvTier } from "#lib/kv/event";

/** A prompt as its blocks, which are hashed when somebody asks: a match that ends early costs little. */
export interface PromptBlocks {
  /** Complete blocks of the prompt. */
  readonly length: number;
  /** Those whose local hashes are there already. */
  readonly hashed: number;
  /**
   * Local hashes, of which at least the first `to` are there; `to` is at most `length`. How many more are made
   * at a time is the owner's to say, and so is the array. Best the same
   * array every time, also for the next prompt: who reads it makes views of it once.
   */
  contents(to: number): BigUint64Array;
}

/** How many blocks of a prompt each holder has in a row, by slot. One is used again for every query. */
export interface Overlaps {
  /** Blocks from the first on in the tier that the engine computes from, or expected there. */
  readonly device: Uint32Array;
  /** Blocks that follow on those of the device, in memory of its host. */
  readonly host: Uint32Array;
  /** Blocks that follow on those, on its disk. */
  readonly disk: Uint32Array;
  /** Blocks that follow on those, in a store outside. */
  readonly external: Uint32Array;
}

/** Room for the answers about as many slots. */
export function createOverlaps(slots: number): Overlaps {
  const of = () => new Uint32Array(slots);
  return { device: of(), host: of(), disk: of(), external: of() };
}

/**
 * Who holds which prefix, for one weight set, block size and hash scheme. A holder is one rank of a worker and has a
 * dense slot, which is given to another after it left. A block that is stored twice is stored once.
 *
 * A block is known as long as somebody holds it, expects it, or holds or expects one that goes on from it. A change may
 * go on from any block that is known, whoever holds it; without those before it the block does not count as overlap.
 *
 * Its memory has a budget. Over it, the holder that takes most loses what was matched or stored least recently. A holder
 * that lost something may tell of blocks that go on from a lost one: then nothing is stored, and that is no fault of it.
 */
export interface PrefixIndex {
  /** (block, holder, tier) entries that were told. */
  readonly entries: number;
  /** (block, holder) entries that are expected. */
  readonly expected: number;
  /** Entries, told and expected, that the budget took so far. */
  readonly evicted: number;
  /** Memory that it takes, in bytes. */
  readonly bytes: number;
  /** Slots that were given, the free ones among them: the length that Overlaps need. */
  readonly slots: number;
  /** A holder comes. Throws where there are 65,536 of them. */
  join(): number;
  /** A holder goes, with all that it has. */
  leave(slot: number): void;
  /** Entries of a holder in a tier. */
  held(slot: number, tier: KvTier): number;
  /** Entries of a holder in all tiers. */
  heldAnywhere(slot: number): number;
  /** Entries of a holder that the budget took since it joined or was cleared. */
  lost(slot: number): number;
  /** Applies a change; changes of other groups than 0 do nothing. Borrows its arrays. */
  apply(slot: number, change: KvChange): KvApplied;
  /** Entries that are expected soon, or that nobody tells of: they end at `untilMs` unless they are said again. */
  expect(slot: number, prompt: PromptBlocks, untilMs: number): void;
  /** Lets expected entries go whose time has come. */
  expire(nowMs: number): void;
  /** What each holder has of a prompt, events and expectations together. `into` has room for all slots. */
  match(prompt: PromptBlocks, into: Overlaps): void;
  /**
   * What a holder was told to have, as changes that make the same of an index that does not know it, in this order.
   * Expected entries are not among them. The arrays are the caller's. Nothing may change the index meanwhile.
   */
  dump(slot: number): Iterable<KvChange>;
}
