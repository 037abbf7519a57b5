import type { Clock } from "#lib/base/clock";
import { assert, StatorError } from "#lib/base/errors";
import type { BlockPlaces, BlockStore, IncomingBlocks, PinnedRun, WantedBlocks } from "#lib/transfer/block-store";
import type { Executor } from "./executor.ts";
import type { ImportTicket, PinnedBlocks } from "./schedule/kv-account.ts";
import type { Scheduler } from "./schedule/scheduler.ts";

/** Blocks that are moved before steps get their turn again. */
const SLICE_BLOCKS = 8;

/** What moves blocks. It owns nothing of this. */
export interface BlockTransferOptions {
  /** Reads and writes their bytes. */
  readonly executor: Executor;
  /** Whose blocks they are. */
  readonly scheduler: Scheduler;
  /** Tells how long reads and writes took. */
  readonly clock: Clock;
  /** Throws when the engine has failed or is closed. */
  readonly checkOpen: () => void;
  /** Whether blocks of an adapter can come in. */
  readonly hasAdapter: (name: string) => boolean;
  /** Calls an async function as soon as the executor has been given all ops of the KV space. */
  readonly afterOps: <Result>(run: () => Promise<Result>) => Promise<Result>;
  /** Blocks came, or places became free: whoever waits for them is looked at, and notices are told. */
  readonly onChange: () => void;
}

/** Takes blocks out of an engine and puts blocks in, between its steps, a few at a time. */
export class BlockTransfer implements BlockStore {
  readonly #options: BlockTransferOptions;
  readonly #scheduler: Scheduler;

  constructor(options: BlockTransferOptions) {
    this.#options = options;
    this.#scheduler = options.scheduler;
  }

  get places(): BlockPlaces {
    const { usedBlocks: used, cachedBlocks: cached } = this.#scheduler.kv.pool;
    return { used, cached };
  }

  count(hashes: BigUint64Array): number {
    return this.#scheduler.kv.pool.countMatch(hashes);
  }

  pin(hashes: BigUint64Array): PinnedRun {
    this.#options.checkOpen();
    return new Run(this.#scheduler.kv.pin(hashes), this.#options.onChange);
  }

  async read(run: PinnedRun, from: number, into: readonly Uint8Array[]): Promise<BigUint64Array> {
    assert(run instanceof Run, "a run is read by the store that pinned it");
    assert(from >= 0 && from + into.length <= run.count, "the blocks of a run are read");
    const checksums = new BigUint64Array(into.length);
    run.begin();
    try {
      for (let at = 0; at < into.length; at += SLICE_BLOCKS) {
        const slice = into.slice(at, at + SLICE_BLOCKS);
        checksums.set(await this.#readSlice(run, from + at, slice), at);
      }
    } finally {
      run.end();
    }
    return checksums;
  }

  async #readSlice(run: Run, from: number, into: readonly Uint8Array[]): Promise<bigint[]> {
    const { executor, clock, afterOps, checkOpen } = this.#options;
    const { space } = this.#scheduler.kv;
    for (;;) {
      checkOpen();
      const startMs = clock.nowMs();
      const { takenBack } = this.#scheduler;
      const checksums = await afterOps(() => {
        const place = (at: number) => {
          const block = run.pinned.blocks[from + at]!;
          return { block, slot: space.slotOf(block), index: run.index + from + at };
        };
        return settled(into.map((bytes, at) => executor.readBlock(place(at), bytes)));
      });
      this.#scheduler.addTransfer({ exportUs: (clock.nowMs() - startMs) * 1000 });
      // Ops that were thought to have run may not have: the bytes may be of what was there before.
      if (takenBack !== this.#scheduler.takenBack) continue;
      return checksums.map((result) => {
        if (result.status === "rejected") throw result.reason;
        return result.value;
      });
    }
  }

  open({ tokens, blocks, cacheSalt, adapter }: WantedBlocks): IncomingBlocks {
    this.#options.checkOpen();
    if (adapter !== undefined && !this.#options.hasAdapter(adapter)) {
      throw new StatorError("MODEL_NOT_FOUND", { model: adapter });
    }
    const { kv } = this.#scheduler;
    const needed = blocks * kv.blockTokens;
    assert(needed <= tokens.length, "blocks are wanted of tokens that are known");
    const owner = { cacheSalt, adapter };
    const ticket = kv.beginImport(this.#scheduler.createChain(tokens.subarray(0, needed), owner), blocks, owner);
    if (!ticket) throw new StatorError("LIMIT", { what: "The KV pool", limit: kv.pool.totalBlocks });
    return new Incoming(this.#options, ticket);
  }
}

/** Every one of them ends before anybody goes on: arrays are borrowed until then. */
function settled<Result>(all: readonly Promise<Result>[]): Promise<PromiseSettledResult<Result>[]> {
  return Promise.allSettled(all);
}

class Run implements PinnedRun {
  readonly index: number;
  readonly count: number;
  readonly pinned: PinnedBlocks;
  readonly #onUnpin: () => void;
  #reads = 0;
  #isOver = false;

  constructor(pinned: PinnedBlocks, onUnpin: () => void) {
    this.pinned = pinned;
    this.index = pinned.index;
    this.count = pinned.blocks.length;
    this.#onUnpin = onUnpin;
  }

  begin(): void {
    assert(!this.#isOver, "a run is read while it is pinned");
    this.#reads++;
  }

  end(): void {
    this.#reads--;
  }

  unpin(): void {
    assert(!this.#isOver && this.#reads === 0, "a run is let go once, and not while it is read");
    this.#isOver = true;
    this.pinned.unpin();
    this.#onUnpin();
  }
}

class Incoming implements IncomingBlocks {
  readonly from: number;
  readonly #options: BlockTransferOptions;
  readonly #ticket: ImportTicket;
  #arrived: number;
  /** Nothing behind the blocks that arrived can be put in place any more. */
  #isBroken = false;
  #isWriting = false;
  #isOver = false;

  constructor(options: BlockTransferOptions, ticket: ImportTicket) {
    this.#options = options;
    this.#ticket = ticket;
    this.from = ticket.from;
    this.#arrived = ticket.from;
  }

  async write(payloads: readonly Uint8Array[], checksums: BigUint64Array | undefined): Promise<number> {
    assert(!this.#isOver && !this.#isWriting, "blocks come in one call at a time, until it is closed");
    assert(this.#arrived + payloads.length <= this.#ticket.blocks.length, "no more blocks come than were wanted");
    const start = this.#arrived;
    this.#isWriting = true;
    try {
      for (let at = 0; at < payloads.length && !this.#isBroken; at += SLICE_BLOCKS) {
        const end = at + SLICE_BLOCKS;
        await this.#writeSlice(payloads.slice(at, end), checksums?.subarray(at, end));
      }
    } finally {
      this.#isWriting = false;
    }
    return this.#arrived - start;
  }

  async #writeSlice(payloads: readonly Uint8Array[], checksums: BigUint64Array | undefined): Promise<void> {
    const { executor, scheduler, clock, afterOps, checkOpen } = this.#options;
    const { blocks, slot } = this.#ticket;
    checkOpen();
    const startMs = clock.nowMs();
    const { takenBack } = scheduler;
    const results = await afterOps(() => {
      const place = (at: number) => ({ block: blocks[this.#arrived + at]!, slot, index: this.#arrived + at });
      return settled(payloads.map((bytes, at) => executor.writeBlock(place(at), bytes, checksums?.[at])));
    });
    scheduler.addTransfer({ importUs: (clock.nowMs() - startMs) * 1000 });
    // The blocks before them may not be in place after all.
    const isLost = takenBack !== scheduler.takenBack;
    const failed = isLost ? 0 : results.findIndex((result) => result.status === "rejected");
    this.#isBroken = failed >= 0;
    this.#arrived += this.#isBroken ? failed : results.length;
    if (isLost) throw new StatorError("ENGINE_FAILED", { detail: "a step was taken back while blocks came in" });
    const { reason } = (results[failed] ?? {}) as Partial<PromiseRejectedResult>;
    if (reason !== undefined && !(reason instanceof StatorError && reason.reason === "CORRUPT")) throw reason;
  }

  close(): number {
    assert(!this.#isOver && !this.#isWriting, "it is closed once, and not while blocks come in");
    this.#isOver = true;
    const { scheduler, onChange } = this.#options;
    const count = scheduler.kv.finishImport(this.#ticket, this.#arrived);
    onChange();
    return count;
  }
}
