import { assert } from "#lib/base/errors";
import { type BlockOrder, blockBytes, type KvLayout } from "#lib/kv/layout";
import { Xxh3 } from "#lib/tokens/xxh3";

/** Words of one token's rows: two layers, K and V, one word each. */
export const ROW_WORDS = 4;

const LAYERS = 2;
const ROW_BYTES = 4;

/** The layout of the mock's blocks. */
export function mockLayout(blockTokens: number, order: BlockOrder = "layer-kind"): KvLayout {
  const rows = { keyRowBytes: ROW_BYTES, valueRowBytes: ROW_BYTES };
  return { layers: LAYERS, blockTokens, ...rows, elementType: "u32", engineFormat: "stator-mock-1", order };
}

/** Where each word of a row is among the others, by the order of the layout: words go by layer, keys before values. */
const PLACES: Readonly<Record<BlockOrder, readonly number[]>> = {
  "layer-kind": [0, 1, 2, 3],
  "kind-layer": [0, 2, 1, 3],
};

/** Mixes all bits of a 32-bit word (the finalizer of MurmurHash3, Appleby 2011). */
export function scramble(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

/** Advances the rows of the token before to those of the next one, in place. */
export function advanceRows(rows: Int32Array, token: number): void {
  const carry = rows[0]!;
  for (let at = 0; at < ROW_WORDS; at++) {
    const neighbour = at + 1 < ROW_WORDS ? rows[at + 1]! : carry;
    rows[at] = scramble(
      rows[at]! + Math.imul(token + 1, 0x9e3779b1 + at * 2) + ((neighbour << 7) | (neighbour >>> 25)),
    );
  }
}

/**
 * The mock's KV bytes. The rows of a token come from it and the rows before it; a block's digest comes from all of its
 * bytes as they are when it is full or arrives. What the mock says depends on the digests of all blocks, so a lost or
 * changed byte changes the text.
 */
export class MockMemory {
  readonly layout: KvLayout;
  readonly #blockBytes: number;
  readonly #places: readonly number[];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #digestLo: Int32Array;
  readonly #digestHi: Int32Array;
  readonly #kernel = new Xxh3();

  constructor(blocks: number, layout: KvLayout) {
    this.layout = layout;
    this.#places = PLACES[layout.order];
    this.#blockBytes = blockBytes(this.layout);
    this.#bytes = new Uint8Array(blocks * this.#blockBytes);
    this.#view = new DataView(this.#bytes.buffer);
    this.#digestLo = new Int32Array(blocks);
    this.#digestHi = new Int32Array(blocks);
  }

  /** Where a word of a row is: [layer][K|V][token], or the first two the other way round, one word each. */
  #at(block: number, offset: number, word: number): number {
    return block * this.#blockBytes + (this.#places[word]! * this.layout.blockTokens + offset) * ROW_BYTES;
  }

  /** Reads the rows of the token at `offset` of a block into `rows`. */
  readRows(block: number, offset: number, rows: Int32Array): void {
    for (let word = 0; word < ROW_WORDS; word++) rows[word] = this.#view.getInt32(this.#at(block, offset, word), true);
  }

  /** Writes the rows of a token; with the last one of a block, takes its digest. */
  writeRows(block: number, offset: number, rows: Int32Array): void {
    for (let word = 0; word < ROW_WORDS; word++) this.#view.setInt32(this.#at(block, offset, word), rows[word]!, true);
    if (offset === this.layout.blockTokens - 1) this.#digest(block);
  }

  /** Mixes the digest of a full block into a fold of two words, in place. */
  foldDigest(block: number, fold: Int32Array): void {
    const low = fold[0]!;
    fold[0] = scramble(low + this.#digestLo[block]!) ^ fold[1]!;
    fold[1] = scramble(fold[1]! + this.#digestHi[block]!) ^ low;
  }

  /** Copies a block's bytes. */
  read(block: number, into: Uint8Array): void {
    assert(into.byteLength === this.#blockBytes, "a block has the bytes of its layout");
    into.set(this.#bytes.subarray(block * this.#blockBytes, (block + 1) * this.#blockBytes));
  }

  /** Takes the bytes of a whole block. */
  write(block: number, bytes: Uint8Array): void {
    assert(bytes.byteLength === this.#blockBytes, "a block has the bytes of its layout");
    this.#bytes.set(bytes, block * this.#blockBytes);
    this.#digest(block);
  }

  #digest(block: number): void {
    this.#kernel.hash(this.#view, block * this.#blockBytes, this.#blockBytes, 0, 0);
    this.#digestLo[block] = this.#kernel.lo;
    this.#digestHi[block] = this.#kernel.hi;
  }
}
