import type { Clock } from "#lib/base/clock";
import { StatorError } from "#lib/base/errors";
import { type BlockIdentity, decodeEnvelope, encodeEnvelope, type HashBytes, openEnvelope } from "#lib/kv/envelope";
import type { BlockChain } from "#lib/tokens/token-chain";
import { xxh3 } from "#lib/tokens/xxh3";
import type { SizedCard } from "./engine.ts";
import type { Executor } from "./executor.ts";
import type { ImportTicket, KvOwner, PinnedBlocks } from "./schedule/kv-account.ts";
import type { Scheduler } from "./schedule/scheduler.ts";

/** Blocks that are moved before steps get their turn again. */
const SLICE_BLOCKS = 8;

/** What moves blocks. It owns nothing of this. */
export interface BlockTransferOptions {
  /** Names the weights and the layout that blocks are checked against. */
  readonly card: SizedCard;
  /** Reads and writes their bytes. */
  readonly executor: Executor;
  /** Whose blocks they are. */
  readonly scheduler: Scheduler;
  /** Checks their bytes; undefined: the slower one in JavaScript. */
  readonly hashBytes: HashBytes | undefined;
  /** Tells how long exports and imports took. */
  readonly clock: Clock;
  /** Calls an async function as soon as the executor has been given all ops of the KV space. */
  readonly afterOps: <Result>(run: () => Promise<Result>) => Promise<Result>;
}

/** Takes blocks out of an engine and puts blocks in, between its steps, a few at a time. */
export class BlockTransfer {
  readonly #card: SizedCard;
  readonly #executor: Executor;
  readonly #scheduler: Scheduler;
  readonly #hashBytes: HashBytes;
  readonly #clock: Clock;
  readonly #afterOps: BlockTransferOptions["afterOps"];

  constructor(options: BlockTransferOptions) {
    this.#card = options.card;
    this.#executor = options.executor;
    this.#scheduler = options.scheduler;
    this.#hashBytes = options.hashBytes ?? xxh3;
    this.#clock = options.clock;
    this.#afterOps = options.afterOps;
  }

  /** As EngineBlocks.export. */
  async exportBlocks(hashes: BigUint64Array): Promise<Uint8Array[]> {
    const pinned = this.#scheduler.kv.pin(hashes);
    const envelopes: Uint8Array[] = [];
    try {
      for (let from = 0; from < pinned.blocks.length; from += SLICE_BLOCKS) {
        const to = Math.min(from + SLICE_BLOCKS, pinned.blocks.length);
        envelopes.push(...(await this.#exportSlice(pinned, from, to)));
      }
    } finally {
      pinned.unpin();
    }
    return envelopes;
  }

  async #exportSlice(pinned: PinnedBlocks, from: number, to: number): Promise<Uint8Array[]> {
    const { pool, space } = this.#scheduler.kv;
    const startMs = this.#clock.nowMs();
    const blocks = pinned.blocks.slice(from, to);
    const rows = await this.#afterOps(async () => {
      const place = (block: number, at: number) => ({
        block,
        slot: space.slotOf(block),
        index: pinned.index + from + at,
      });
      return Promise.all(blocks.map((block, at) => this.#executor.readBlock(place(block, at))));
    });
    const envelopes = blocks.map((block, at) => {
      const parent = pool.parent(block);
      const identity = this.#identity({
        index: pinned.index + from + at,
        hash: pool.hash(block),
        parent: parent < 0 ? undefined : pool.hash(parent),
      });
      return encodeEnvelope(identity, rows[at]!, this.#hashBytes);
    });
    this.#scheduler.addTransfer({ exportUs: (this.#clock.nowMs() - startMs) * 1000 });
    return envelopes;
  }

  /** As EngineBlocks.import. */
  async importBlocks(tokens: Uint32Array, envelopes: readonly Uint8Array[], owner: KvOwner): Promise<number> {
    const first = envelopes[0];
    if (!first) return 0;
    const start = decodeEnvelope(first, this.#hashBytes).block.index;
    const end = start + envelopes.length;
    const { blockTokens } = this.#card;
    if (tokens.length < end * blockTokens) {
      const detail = `Blocks ${start} to ${end - 1} need ${end * blockTokens} tokens, not ${tokens.length}`;
      throw new StatorError("INVALID_ARGUMENT", { detail });
    }
    const chain = this.#scheduler.createChain(tokens.subarray(0, end * blockTokens), owner);
    const payloads = envelopes.map((bytes, at) =>
      openEnvelope(bytes, this.#wanted(chain, start + at), this.#hashBytes),
    );
    const { kv } = this.#scheduler;
    // Without the blocks before them they could not be found.
    if (kv.pool.countMatch(chain.hashes(0, start)) < start) return 0;
    const ticket = kv.beginImport(chain, end, owner);
    if (!ticket) throw new StatorError("LIMIT", { what: "The KV pool", limit: kv.pool.totalBlocks });
    let arrived = ticket.from;
    try {
      while (arrived < end) {
        const to = Math.min(arrived + SLICE_BLOCKS, end);
        const came = await this.#importSlice(ticket, payloads.slice(arrived - start, to - start), arrived);
        arrived += came;
        if (arrived < to) break;
      }
    } finally {
      kv.finishImport(ticket, arrived);
    }
    return arrived - start;
  }

  /** Puts payloads at indices from `from` on; returns how many arrived before the first that did not. */
  async #importSlice(ticket: ImportTicket, payloads: readonly Uint8Array[], from: number): Promise<number> {
    const startMs = this.#clock.nowMs();
    const results = await this.#afterOps(async () => {
      const writes = payloads.map((bytes, at) => {
        const place = { block: ticket.blocks[from + at]!, slot: ticket.slot, index: from + at };
        return this.#executor.writeBlock(place, bytes);
      });
      return Promise.allSettled(writes);
    });
    this.#scheduler.addTransfer({ importUs: (this.#clock.nowMs() - startMs) * 1000 });
    const failed = results.findIndex((result) => result.status === "rejected");
    return failed < 0 ? results.length : failed;
  }

  #wanted(chain: BlockChain, index: number): BlockIdentity {
    return this.#identity({ index, hash: chain.hash(index), parent: index === 0 ? undefined : chain.hash(index - 1) });
  }

  #identity(block: { index: number; hash: bigint; parent: bigint | undefined }): BlockIdentity {
    const { layout, modelDigest } = this.#card;
    if (!layout)
      throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Moving KV blocks", detail: "it has no layout" });
    return { ...block, layout, modelDigest };
  }
}
