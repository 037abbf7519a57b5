import { assert } from "#lib/base/errors";
import { type BlockOrder, blockBytes, type KvLayout } from "#lib/kv/layout";
import { Xxh3 } from "#lib/tokens/xxh3";

/** Words of one token's rows: two layers, K and V, one word each. */
export const ROW_WORDS = 4;

const LAYERS = 2;
const ROW_BYTES = 4;

/** Blocks of so many tokens, or of several times as many, are told apart by stretches of so many: those mocks say the same. */
const GRAIN_TOKENS = 16;

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
 * The mock's KV bytes. The rows of a token come from it and the rows before it; the digest of a stretch of a block comes from
 * all of its bytes as they are when it is full or arrives, by layer and keys before values whatever their order is. What the
 * mock says depends on the digests of all stretches, so a lost or changed byte changes the text.
 */
export class MockMemory {
  readonly layout: KvLayout;
  /** Tokens of a stretch that has a digest; a block has a whole number of them. */
  readonly grainTokens: number;
  readonly #grains: number;
  /** A block is one stretch as it lies. */
  readonly #isPlain: boolean;
  readonly #blockBytes: number;
  readonly #places: readonly number[];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #digestLo: Int32Array;
  readonly #digestHi: Int32Array;
  readonly #kernel = new Xxh3();
  /** Rows of one stretch, by layer, and keys before values. */
  readonly #stretch: Uint8Array;
  readonly #stretchView: DataView;

  constructor(blocks: number, layout: KvLayout) {
    this.layout = layout;
    this.grainTokens = layout.blockTokens % GRAIN_TOKENS === 0 ? GRAIN_TOKENS : layout.blockTokens;
    this.#grains = layout.blockTokens / this.grainTokens;
    this.#isPlain = this.#grains === 1 && layout.order === "layer-kind";
    this.#stretch = new Uint8Array(this.grainTokens * ROW_WORDS * ROW_BYTES);
    this.#stretchView = new DataView(this.#stretch.buffer);
    this.#places = PLACES[layout.order];
    this.#blockBytes = blockBytes(this.layout);
    this.#bytes = new Uint8Array(blocks * this.#blockBytes);
    this.#view = new DataView(this.#bytes.buffer);
    this.#digestLo = new Int32Array(blocks * this.#grains);
    this.#digestHi = new Int32Array(blocks * this.#grains);
  }

  /** Where a word of a row is: [layer][K|V][token], or the first two the other way round, one word each. */
  #at(block: number, offset: number, word: number): number {
    return block * this.#blockBytes + (this.#places[word]! * this.layout.blockTokens + offset) * ROW_BYTES;
  }

  /** Reads the rows of the token at `offset` of a block into `rows`. */
  readRows(block: number, offset: number, rows: Int32Array): void {
    for (let word = 0; word < ROW_WORDS; word++) rows[word] = this.#view.getInt32(this.#at(block, offset, word), true);
  }

  /** Writes the rows of a token; with the last one of a stretch, takes its digest. */
  writeRows(block: number, offset: number, rows: Int32Array): void {
    for (let word = 0; word < ROW_WORDS; word++) this.#view.setInt32(this.#at(block, offset, word), rows[word]!, true);
    if ((offset + 1) % this.grainTokens === 0) this.#digest(block, (offset + 1) / this.grainTokens - 1);
  }

  /** Mixes the digest of a full stretch of a block into a fold of two words, in place. */
  foldDigest(block: number, grain: number, fold: Int32Array): void {
    const at = block * this.#grains + grain;
    const low = fold[0]!;
    fold[0] = scramble(low + this.#digestLo[at]!) ^ fold[1]!;
    fold[1] = scramble(fold[1]! + this.#digestHi[at]!) ^ low;
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
    for (let grain = 0; grain < this.#grains; grain++) this.#digest(block, grain);
  }

  #digest(block: number, grain: number): void {
    const at = block * this.#grains + grain;
    if (this.#isPlain) this.#kernel.hash(this.#view, block * this.#blockBytes, this.#blockBytes, 0, 0);
    else this.#hashStretch(block, grain);
    this.#digestLo[at] = this.#kernel.lo;
    this.#digestHi[at] = this.#kernel.hi;
  }

  #hashStretch(block: number, grain: number): void {
    const runBytes = this.grainTokens * ROW_BYTES;
    for (let word = 0; word < ROW_WORDS; word++) {
      const start = this.#at(block, grain * this.grainTokens, word);
      this.#stretch.set(this.#bytes.subarray(start, start + runBytes), word * runBytes);
    }
    this.#kernel.hash(this.#stretchView, 0, this.#stretch.byteLength, 0, 0);
  }
}
