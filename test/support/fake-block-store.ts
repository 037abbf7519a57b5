import { StatorError } from "#lib/base/errors";
import { xxh3 } from "#lib/tokens/xxh3";
import type { BlockPlaces, BlockStore, IncomingBlocks, PinnedRun, WantedBlocks } from "#lib/transfer/block-store";
import { hashesOf } from "#lib/transfer/session-message";

/** "STKV" little endian. */
export const CHECKSUM_SEED = 0x564b5453n;

/** One block of a fake store. */
interface FakeBlock {
  readonly bytes: Uint8Array;
  pins: number;
}

/** The blocks of an engine that computes nothing: their bytes follow from their names. */
export class FakeBlockStore implements BlockStore {
  readonly blockTokens: number;
  readonly blockBytes: number;
  readonly totalBlocks: number;
  readonly blocks = new Map<bigint, FakeBlock>();
  /** Places that blocks on their way in have. */
  reserved = 0;
  /** Blocks that were read, and written. */
  counts = { read: 0, written: 0 };
  /** Called before each read and write; a promise is waited for. */
  beforeRead: () => Promise<void> | void = () => {};
  beforeWrite: () => Promise<void> | void = () => {};

  constructor(options: { readonly blockTokens: number; readonly blockBytes: number; readonly totalBlocks?: number }) {
    this.blockTokens = options.blockTokens;
    this.blockBytes = options.blockBytes;
    this.totalBlocks = options.totalBlocks ?? 1024;
  }

  /** Computes the blocks of a sequence, the first `count` of them. */
  compute(prompt: { tokens: Uint32Array; cacheSalt: string; adapter: string | undefined }, count?: number): void {
    for (const hash of hashesOf(prompt, this.blockTokens).subarray(0, count)) {
      if (!this.blocks.has(hash)) this.blocks.set(hash, { bytes: bytesOf(hash, this.blockBytes), pins: 0 });
    }
  }

  /** Blocks that somebody keeps. */
  get pinned(): number {
    return [...this.blocks.values()].filter(({ pins }) => pins > 0).length;
  }

  get places(): BlockPlaces {
    return { used: this.pinned + this.reserved, cached: this.blocks.size - this.pinned };
  }

  /** Whether each of these blocks is here and is what it must be. */
  isRight(hashes: BigUint64Array): boolean {
    return hashes.every((hash) => {
      const block = this.blocks.get(hash);
      return block !== undefined && Buffer.compare(block.bytes, bytesOf(hash, this.blockBytes)) === 0;
    });
  }

  count(hashes: BigUint64Array): number {
    const end = hashes.findIndex((hash) => !this.blocks.has(hash));
    return end < 0 ? hashes.length : end;
  }

  pin(hashes: BigUint64Array): PinnedRun & { readonly held: FakeBlock[] } {
    const held = [...hashes.subarray(0, this.count(hashes))].map((hash) => this.blocks.get(hash)!);
    for (const block of held) block.pins++;
    let isOpen = true;
    const unpin = () => {
      if (!isOpen) throw new Error("a run is unpinned once");
      isOpen = false;
      for (const block of held) block.pins--;
    };
    return { index: 0, count: held.length, held, unpin };
  }

  async read(
    run: PinnedRun & { held?: FakeBlock[] },
    from: number,
    into: readonly Uint8Array[],
  ): Promise<BigUint64Array> {
    await this.beforeRead();
    return BigUint64Array.from(into, (bytes, at) => {
      bytes.set(run.held![from + at]!.bytes);
      this.counts.read++;
      return xxh3(bytes, CHECKSUM_SEED);
    });
  }

  open(wanted: WantedBlocks): IncomingBlocks {
    const hashes = hashesOf(wanted, this.blockTokens).subarray(0, wanted.blocks);
    const from = this.count(hashes);
    const lacking = hashes.length - from;
    if (this.blocks.size + this.reserved + lacking > this.totalBlocks) {
      throw new StatorError("LIMIT", { what: "The KV pool", limit: this.totalBlocks });
    }
    this.reserved += lacking;
    const arrived: Uint8Array[] = [];
    return {
      from,
      write: async (payloads, checksums) => {
        await this.beforeWrite();
        for (const [at, bytes] of payloads.entries()) {
          if (checksums && xxh3(bytes, CHECKSUM_SEED) !== checksums[at]) return at;
          arrived.push(bytes.slice());
          this.counts.written++;
        }
        return payloads.length;
      },
      close: () => {
        this.reserved -= lacking;
        for (const [at, bytes] of arrived.entries()) this.blocks.set(hashes[from + at]!, { bytes, pins: 0 });
        return this.count(hashes);
      },
    };
  }
}

function bytesOf(hash: bigint, length: number): Uint8Array {
  const words = new BigUint64Array(length / 8);
  for (let at = 0; at < words.length; at++) words[at] = (hash + BigInt(at)) * 0x9e3779b97f4a7c15n;
  return new Uint8Array(words.buffer);
}
