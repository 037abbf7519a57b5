import { blockBytes, type KvLayout } from "#lib/kv/layout";
import type { NativeAddon } from "#lib/native/addon";
import type { BlockStore, IncomingBlocks } from "#lib/transfer/block-store";

/** Seed of the checksums of blocks. */
const CHECKSUM_SEED = 0x564b5453n;

/** A block has 1 MiB. */
const LAYOUT: KvLayout = {
  ...{ layers: 16, blockTokens: 64, keyRowBytes: 512, valueRowBytes: 512 },
  ...{ elementType: "f16", engineFormat: "bench-1", order: "layer-kind" },
};

/**
 * Blocks as an engine keeps them, in one stretch of memory, and no engine: a read is one copy and one XXH3 pass, a write as
 * well. All blocks of a sequence are there at the owner, none at the reader.
 */
export class BlockPool implements BlockStore {
  readonly layout = LAYOUT;
  readonly total: number;
  readonly #addon: NativeAddon;
  readonly #bytes: Uint8Array;
  readonly #blockBytes = blockBytes(LAYOUT);
  readonly #isOwner: boolean;

  /** @param total blocks of the longest sequence */
  constructor(addon: NativeAddon, total: number, isOwner: boolean) {
    this.#addon = addon;
    this.total = total;
    this.#bytes = new Uint8Array(total * this.#blockBytes);
    this.#isOwner = isOwner;
    const words = new Uint32Array(this.#bytes.buffer);
    for (let at = 0; at < words.length; at++) words[at] = Math.imul(at, isOwner ? 0x9e3779b1 : 1);
  }

  get places() {
    return { used: this.#isOwner ? this.total : 0, cached: 0 };
  }

  count(hashes: BigUint64Array): number {
    return this.#isOwner ? hashes.length : 0;
  }

  pin(hashes: BigUint64Array): { index: number; count: number; unpin(): void } {
    return { index: 0, count: hashes.length, unpin() {} };
  }

  async read(_run: unknown, from: number, into: readonly Uint8Array[]): Promise<BigUint64Array> {
    return BigUint64Array.from(into, (bytes, at) => {
      bytes.set(this.#block(from + at));
      return this.#addon.xxh3(bytes, CHECKSUM_SEED);
    });
  }

  open({ blocks }: { readonly blocks: number }): IncomingBlocks {
    let next = 0;
    return {
      from: 0,
      write: async (payloads, checksums) => {
        for (const [at, bytes] of payloads.entries()) {
          if (checksums && this.#addon.xxh3(bytes, CHECKSUM_SEED) !== checksums[at]) return at;
          this.#block(next++).set(bytes);
        }
        return payloads.length;
      },
      close: () => Math.min(next, blocks),
    };
  }

  #block(at: number): Uint8Array {
    return this.#bytes.subarray(at * this.#blockBytes, (at + 1) * this.#blockBytes);
  }
}
