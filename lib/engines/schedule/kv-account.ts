import { assert } from "#lib/base/errors";
import { BlockPool, NO_BLOCK } from "#lib/kv/block-pool";
import type { BlockChain } from "#lib/tokens/token-chain";
import type { KvNotice } from "../engine.ts";
import type { Allocation } from "./options.ts";
import type { Sequence } from "./sequence.ts";
import type { KvSpace } from "./space.ts";

/** What became of an attempt to let a sequence in: `awaits` = another one is computing its next block. */
export type AdmitResult = "admitted" | "awaits" | "full";

/** Of blocks that came for a request that is still to come. */
const IMPORTED_PRIORITY = 1;

/** Blocks in a row that are worth waiting for: less is computed again within the steps that the wait takes. */
const LEAST_AWAITED_BLOCKS = 4;

/** Whose tokens blocks hold: part of their names, and told in notices. */
export interface KvOwner {
  /** Blocks are shared within one salt. */
  readonly cacheSalt: string;
  /** Name of the adapter; undefined: the base model. */
  readonly adapter: string | undefined;
}

/** What an account is made of. */
export interface KvAccountOptions {
  /** Of the pool. */
  readonly blocks: number;
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Whether blocks are registered and found again. */
  readonly reusesPrefixes: boolean;
  /** Most blocks that stay when nobody uses them; blocks that were imported stay until their first use. */
  readonly maxCachedBlocks: number;
  /** As in the scheduler's options. */
  readonly chunkTokens: number;
  /** As in the scheduler's options. */
  readonly allocation?: Allocation | undefined;
  /** Where they lie; called once. */
  readonly space: (pool: BlockPool) => KvSpace;
}

/** Tokens in the whole chunks of so many. */
export function wholeChunks(tokens: number, chunkTokens: number): number {
  return tokens - (tokens % chunkTokens);
}

/** Consecutive blocks of one sequence that stay until they are let go. */
export interface PinnedBlocks {
  /** Numbers in the pool, in the order of the sequence. */
  readonly blocks: readonly number[];
  /** Index of the first one in its sequence. */
  readonly index: number;
  /** Once. */
  readonly unpin: () => void;
}

/** Blocks on their way in from another engine; they have their places and are not findable yet. */
export interface ImportTicket {
  /** The sequence from its start to the end of the blocks. */
  readonly chain: BlockChain;
  /** Whose tokens they are. */
  readonly owner: KvOwner;
  /** Of the KV space; it ends with the ticket. */
  readonly slot: number;
  /** Numbers in the pool by index in the sequence. */
  readonly blocks: number[];
  /** Blocks before this index were here already. */
  readonly from: number;
}

/**
 * The block tables of all sequences: it joins the pool (which blocks there are), the space (where they lie) and the
 * notices (who is told). A block is registered once, by whoever computed it first.
 */
export class KvAccount {
  readonly pool: BlockPool;
  readonly space: KvSpace;
  readonly blockTokens: number;
  readonly #reusesPrefixes: boolean;
  readonly #chunkTokens: number;
  readonly #isStepwise: boolean;
  /** Full blocks that a running sequence is about to compute, by hash. */
  readonly #computing = new Map<bigint, Sequence>();
  #notices: KvNotice[] = [];
  #removed: bigint[] = [];

  constructor(options: KvAccountOptions) {
    this.blockTokens = options.blockTokens;
    this.#reusesPrefixes = options.reusesPrefixes;
    this.#chunkTokens = options.chunkTokens;
    this.#isStepwise = options.allocation === "stepwise";
    this.pool = new BlockPool({
      blocks: options.blocks,
      maxCached: options.maxCachedBlocks,
      onEvict: (block, hash) => {
        this.space.evicted(block);
        this.#removed.push(hash);
      },
    });
    this.space = options.space(this.pool);
  }

  /** Leading blocks that a sequence could reuse: at least its last token is always computed. */
  #reusable({ chain, isScoring }: Sequence): BigUint64Array {
    const reuses = this.#reusesPrefixes && !isScoring;
    return chain.hashes(0, reuses ? Math.floor((chain.length - 1) / this.blockTokens) : 0);
  }

  /** How many of these consecutive blocks, from the first on, are in the cache and can be gone on from. */
  #countMatch(hashes: BigUint64Array): number {
    const count = this.pool.countMatch(hashes);
    return this.#chunkTokens === 0 ? count : count - (count % (this.#chunkTokens / this.blockTokens));
  }

  /** Leading complete blocks of a sequence that are kept for others. */
  #keepable({ chain, request }: Sequence): number {
    if (!this.#reusesPrefixes) return 0;
    if (this.#chunkTokens === 0) return chain.completeBlocks;
    return wholeChunks(request.promptTokens.length, this.#chunkTokens) / this.blockTokens;
  }

  /** Tokens that a sequence would find in the cache now. */
  countCached(sequence: Sequence): number {
    return this.#countMatch(this.#reusable(sequence)) * this.blockTokens;
  }

  /**
   * Gives a sequence the cached blocks it can reuse, a slot, and places for the rest of what is known of it; stepwise there
   * must be room for those, and the steps take them.
   * @param reserve blocks that must remain available afterwards, for those that run
   */
  admit(sequence: Sequence, reserve: number): AdmitResult {
    if (sequence.awaits !== undefined && this.#computing.has(sequence.awaits)) return "awaits";
    const hashes = this.#reusable(sequence);
    const count = this.#countMatch(hashes);
    sequence.awaits = this.#isStepwise ? undefined : this.#worthAwaiting(hashes, count);
    if (sequence.awaits !== undefined) return "awaits";
    const fresh = Math.ceil(sequence.chain.length / this.blockTokens) - count;
    // Ahead, who waits for room keeps what it would find from being the first to go; stepwise it is left where it was.
    const isLeft = this.#isStepwise && fresh + this.#countIdle(hashes, count) > this.pool.availableBlocks;
    if (isLeft) return "full";
    const matched = this.pool.match(hashes.subarray(0, count));
    const slot = fresh + reserve > this.pool.availableBlocks ? undefined : this.space.begin(matched);
    if (slot === undefined) {
      this.#release(matched);
      return "full";
    }
    for (const block of matched) this.pool.setPriority(block, 0);
    sequence.slot = slot;
    sequence.blocks = matched;
    sequence.registered = count;
    if (this.#isStepwise) return "admitted";
    this.#extend(sequence, fresh);
    for (let at = count; at < this.#keepable(sequence); at++) {
      const hash = sequence.chain.hash(at);
      if (!this.#computing.has(hash)) this.#computing.set(hash, sequence);
    }
    return "admitted";
  }

  /** How many of the first `count` blocks, which are registered, nobody uses. */
  #countIdle(hashes: BigUint64Array, count: number): number {
    let idle = 0;
    for (let at = 0; at < count; at++) if (this.pool.references(this.pool.find(hashes[at]!)!) === 0) idle++;
    return idle;
  }

  /** The first of enough blocks in a row that others are computing. */
  #worthAwaiting(hashes: BigUint64Array, from: number): bigint | undefined {
    let to = from;
    while (to < hashes.length && this.#computing.has(hashes[to]!)) to++;
    return to - from >= LEAST_AWAITED_BLOCKS ? hashes[from] : undefined;
  }

  /** Gives a running sequence the places for so many positions. False, and nothing changed, when there are not enough. */
  reach(sequence: Sequence, positions: number): boolean {
    const more = Math.ceil(positions / this.blockTokens) - sequence.blocks.length;
    if (more > this.pool.availableBlocks) return false;
    if (more > 0) this.#extend(sequence, more);
    return true;
  }

  #extend(sequence: Sequence, count: number): void {
    const blocks = this.pool.allocate(count);
    assert(blocks, "blocks that are available can be allocated");
    for (const block of blocks) {
      sequence.blocks.push(block);
      this.space.extend(sequence.slot, block);
    }
  }

  /** Registers the blocks of a sequence that so many positions fill: those that have been computed, or stepwise will be by its step. */
  settle(sequence: Sequence, positions: number): void {
    const { chain, blocks, slot } = sequence;
    const to = Math.min(Math.floor(positions / this.blockTokens), this.#keepable(sequence));
    if (to <= sequence.registered) return;
    for (let at = sequence.registered; at < to; at++) {
      const hash = chain.hash(at);
      if (this.#computing.get(hash) === sequence) this.#computing.delete(hash);
    }
    this.#register({ chain, blocks, slot, from: sequence.registered, owner: sequence.request }, to);
    sequence.registered = to;
  }

  /** A sequence ceases to run: what is registered stays as cache, the rest is reset. */
  drop(sequence: Sequence): void {
    for (let at = sequence.registered; at < this.#keepable(sequence); at++) {
      const hash = sequence.chain.hash(at);
      if (this.#computing.get(hash) === sequence) this.#computing.delete(hash);
    }
    this.space.end(sequence.slot, sequence.registered);
    this.#release(sequence.blocks);
    sequence.blocks = [];
    sequence.registered = 0;
    sequence.slot = -1;
  }

  /**
   * References the blocks with these consecutive hashes that are registered, and all before them, so that they stay.
   * `index` is the place of the first one in its sequence.
   */
  pin(hashes: BigUint64Array): PinnedBlocks {
    const blocks = this.pool.match(hashes);
    const before: number[] = [];
    const first = blocks[0];
    for (let at = first ?? NO_BLOCK; at !== NO_BLOCK; at = this.pool.parent(at)) {
      if (at === first) continue;
      this.pool.retain(at);
      before.unshift(at);
    }
    return { blocks, index: before.length, unpin: () => this.#release([...before, ...blocks]) };
  }

  /**
   * Makes room for the first `count` blocks of a chain that come from another engine. Undefined when there is no room
   * now. Ends with `finishImport`.
   */
  beginImport(chain: BlockChain, count: number, owner: KvOwner): ImportTicket | undefined {
    const blocks = this.pool.match(chain.hashes(0, count));
    const from = blocks.length;
    const slot = count - from > this.pool.availableBlocks ? undefined : this.space.begin(blocks);
    if (slot === undefined) {
      this.#release(blocks);
      return undefined;
    }
    for (const block of this.pool.allocate(count - from)!) {
      blocks.push(block);
      this.space.extend(slot, block);
    }
    return { chain, owner, slot, blocks, from };
  }

  /**
   * Registers the first `count` blocks of a ticket, whose bytes are in place now, and lets go of the rest. Returns how many
   * blocks of its sequence are there now.
   */
  finishImport(ticket: ImportTicket, count: number): number {
    if (count > ticket.from) this.#register(ticket, count);
    for (let at = 0; at < count; at++) this.pool.setPriority(ticket.blocks[at]!, IMPORTED_PRIORITY);
    this.space.end(ticket.slot, Math.max(count, ticket.from));
    this.#release(ticket.blocks);
    return count;
  }

  /** Evicts all that nobody uses; returns how many blocks that were. */
  clear(): number {
    const cleared = this.pool.clear();
    if (this.pool.registeredBlocks > 0) return cleared;
    // What went is in this word.
    this.#removed = [];
    this.#notices.push({ kind: "cleared" });
    return cleared;
  }

  /** The same, and what is in use now goes when it is given back. Returns how many blocks went, and how many are in use. */
  forget(): { readonly cleared: number; readonly kept: number } {
    const cleared = this.clear();
    this.pool.doom();
    return { cleared, kept: this.pool.registeredBlocks };
  }

  /** Takes the notices since the last call, in order. */
  takeNotices(): readonly KvNotice[] {
    this.#flushRemoved();
    const notices = this.#notices;
    if (notices.length > 0) this.#notices = [];
    return notices;
  }

  #register(table: Omit<ImportTicket, "from"> & { from: number }, to: number): void {
    const { chain, blocks } = table;
    let stored = table.from;
    for (let at = table.from; at < to; at++) {
      const block = blocks[at]!;
      this.pool.complete(block);
      const primary = this.pool.register(block, chain.hash(at), blocks[at - 1] ?? NO_BLOCK);
      if (primary === block) continue;
      blocks[at] = primary;
      this.space.replace(table.slot, at, primary);
      this.#tellStored(table, stored, at);
      stored = at + 1;
    }
    this.#tellStored(table, stored, to);
  }

  #tellStored(table: { chain: BlockChain; owner: KvOwner }, from: number, to: number): void {
    if (from >= to) return;
    const { chain, owner } = table;
    this.#flushRemoved();
    this.#notices.push({
      kind: "stored",
      parent: from === 0 ? undefined : chain.hash(from - 1),
      hashes: chain.hashes(from, to).slice(),
      tokens: chain.tokens(from * this.blockTokens, to * this.blockTokens).slice(),
      contents: chain.contents(from, to).slice(),
      cacheSalt: owner.cacheSalt,
      adapter: owner.adapter,
    });
  }

  #flushRemoved(): void {
    if (this.#removed.length === 0) return;
    this.#notices.push({ kind: "removed", hashes: BigUint64Array.from(this.#removed) });
    this.#removed = [];
  }

  #release(blocks: readonly number[]): void {
    for (let at = blocks.length - 1; at >= 0; at--) this.pool.release(blocks[at]!);
  }
}
