import { assert, StatorError } from "#lib/base/errors";
import type {
  BlockPlaces,
  BlockStaging,
  BlockStore,
  IncomingBlocks,
  PinnedRun,
  WantedBlocks,
} from "#lib/transfer/block-store";
import type { Executor } from "./executor.ts";
import type { ImportTicket, PinnedBlocks } from "./schedule/kv-account.ts";
import type { StepOutcome } from "./schedule/plan.ts";
import type { Scheduler } from "./schedule/scheduler.ts";
import { Slices, type SlicesOptions } from "./slices.ts";

/** What moves blocks. It owns nothing of this. */
export interface BlockTransferOptions extends Omit<SlicesOptions, "scheduler"> {
  /** Whose blocks they are. */
  readonly scheduler: Scheduler;
  /** Reads and writes their bytes. */
  readonly executor: Executor;
  /** Whether blocks of an adapter can come in. */
  readonly hasAdapter: (name: string) => boolean;
  /** Blocks came, or places became free: whoever waits for them is looked at, and notices are told. */
  readonly onChange: () => void;
}

/** Takes blocks out of an engine and puts blocks in, between its steps, a few at a time. */
export class BlockTransfer implements BlockStore {
  readonly #options: BlockTransferOptions;
  readonly #scheduler: Scheduler;
  readonly #slices: Slices;

  constructor(options: BlockTransferOptions) {
    this.#options = options;
    this.#slices = new Slices(options);
    this.#scheduler = options.scheduler;
  }

  /** A step of the engine ended; before the scheduler hears of it. */
  onStep(outcome: StepOutcome): void {
    this.#slices.onStep(outcome);
  }

  get places(): BlockPlaces {
    const { usedBlocks: used, cachedBlocks: cached } = this.#scheduler.kv.pool;
    return { used, cached };
  }

  get staging(): BlockStaging | undefined {
    return this.#options.executor.staging;
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
      for (let at = 0; at < into.length; ) {
        const slice = await this.#readSlice(run, from + at, into.slice(at));
        checksums.set(slice, at);
        at += slice.length;
      }
    } finally {
      run.end();
    }
    return checksums;
  }

  /** Reads the first of some blocks, as many as go at once. */
  async #readSlice(run: Run, from: number, into: readonly Uint8Array[]): Promise<BigUint64Array> {
    const { executor, scheduler } = this.#options;
    const { moved, isTakenBack } = await this.#slices.move("exportUs", into.length, (count) => {
      const blocks = run.pinned.blocks.slice(from, from + count);
      // Who holds the last one holds those before it.
      const slot = scheduler.kv.space.slotOf(blocks.at(-1)!);
      return executor.readBlocks({ blocks, slot, index: run.index + from }, into.slice(0, count));
    });
    // The bytes may be of what was there before.
    return isTakenBack ? new BigUint64Array() : moved.checksums;
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
    return new Incoming(this.#options, this.#slices, ticket);
  }
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
  readonly #slices: Slices;
  readonly #ticket: ImportTicket;
  #arrived: number;
  /** Nothing behind the blocks that arrived can be put in place any more. */
  #isBroken = false;
  #isWriting = false;
  #isOver = false;

  constructor(options: BlockTransferOptions, slices: Slices, ticket: ImportTicket) {
    this.#options = options;
    this.#slices = slices;
    this.#ticket = ticket;
    this.from = ticket.from;
    this.#arrived = ticket.from;
  }

  async write(payloads: readonly Uint8Array[], checksums: BigUint64Array | undefined): Promise<number> {
    assert(!this.#isOver && !this.#isWriting, "blocks come in one call at a time, until it is closed");
    assert(this.#arrived + payloads.length <= this.#ticket.blocks.length, "no more blocks come than were wanted");
    const start = this.#arrived;
    const end = start + payloads.length;
    this.#isWriting = true;
    try {
      while (this.#arrived < end && !this.#isBroken) {
        const at = this.#arrived - start;
        await this.#writeSlice(payloads.slice(at), checksums?.subarray(at));
      }
    } finally {
      this.#isWriting = false;
    }
    return this.#arrived - start;
  }

  /** Writes the first of some blocks, as many as go at once. */
  async #writeSlice(payloads: readonly Uint8Array[], checksums: BigUint64Array | undefined): Promise<void> {
    const { executor } = this.#options;
    const { slot, blocks } = this.#ticket;
    const index = this.#arrived;
    // Until it is known that they are in place nothing can come behind them.
    this.#isBroken = true;
    const { moved, isTakenBack } = await this.#slices.move("importUs", payloads.length, async (count) => {
      const place = { blocks: blocks.slice(index, index + count), slot, index };
      const written = await executor.writeBlocks(place, payloads.slice(0, count), checksums?.slice(0, count));
      return { ...written, isWhole: written.count === count };
    });
    // The blocks before them may not be in place after all.
    if (isTakenBack) throw new StatorError("ENGINE_FAILED", { detail: "a step was taken back while blocks came in" });
    this.#arrived += moved.count;
    this.#isBroken = !moved.isWhole;
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
