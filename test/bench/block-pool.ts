import type { NativeAddon } from "#lib/native/addon";
import type { BlockStore, IncomingBlocks } from "#lib/transfer/block-store";

/** Seed of the checksums of blocks. */
const CHECKSUM_SEED = 0x564b5453n;

/**
 * Blocks as an engine keeps them, in one stretch of memory, and no engine: a read is one copy and one XXH3 pass, a write as
 * well. All blocks of a sequence are there at the owner, none at the reader.
 */
export class BlockPool implements BlockStore {
  readonly #addon: NativeAddon;
  readonly #bytes: Uint8Array;
  readonly #blockBytes: number;
  readonly #isOwner: boolean;

  /** @param sizes bytes of a block, and of all that a sequence has */
  constructor(addon: NativeAddon, sizes: { readonly blockBytes: number; readonly poolBytes: number }, isOwner: boolean) {
    this.#addon = addon;
    this.#bytes = new Uint8Array(sizes.poolBytes);
    this.#blockBytes = sizes.blockBytes;
    this.#isOwner = isOwner;
    const words = new Uint32Array(this.#bytes.buffer);
    for (let at = 0; at < words.length; at++) words[at] = Math.imul(at, isOwner ? 0x9e3779b1 : 1);
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
