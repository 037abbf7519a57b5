import { assert } from "#lib/base/errors";
import type { TokenHasher } from "./block-hash.ts";

/**
 * A growing sequence as blocks that have names: what an account of KV needs to know of it. Views are borrowed until it grows.
 */
export interface BlockChain {
  /** Tokens so far. */
  readonly length: number;
  /** Blocks that are full, and hashed. */
  readonly completeBlocks: number;
  /** The token at a position. */
  at(position: number): number;
  /** Tokens `from` to `to - 1`; empty of a sequence whose tokens are not known. */
  tokens(from?: number, to?: number): Uint32Array;
  /** The sequence hash of a complete block. */
  hash(block: number): bigint;
  /** Sequence hashes of blocks `from` to `to - 1`. */
  hashes(from?: number, to?: number): BigUint64Array;
  /** Local hashes of the same blocks. */
  contents(from: number, to: number): BigUint64Array;
  /** Adds one token. */
  push(token: number): void;
  /** Adds tokens; copies them. */
  append(tokens: Uint32Array): void;
}

/**
 * A growing token sequence with the hashes of each of its complete blocks. Appending costs what the new tokens cost; the
 * memory doubles as it grows.
 */
export class TokenChain implements BlockChain {
  readonly blockTokens: number;
  readonly #seed: bigint;
  readonly #hasher: TokenHasher;
  #tokens: Uint32Array;
  #hashes: BigUint64Array;
  #contents: BigUint64Array;
  #length = 0;
  #hashed = 0;

  /** Copies `tokens`; `room` further ones fit before the memory grows. */
  constructor(
    hasher: TokenHasher,
    tokens: Uint32Array,
    options: { readonly blockTokens: number; readonly seed: bigint; readonly room?: number },
  ) {
    this.blockTokens = options.blockTokens;
    this.#seed = options.seed;
    this.#hasher = hasher;
    const size = Math.max(tokens.length + (options.room ?? 0), options.blockTokens);
    this.#tokens = new Uint32Array(size);
    this.#hashes = new BigUint64Array(Math.ceil(size / options.blockTokens));
    this.#contents = new BigUint64Array(this.#hashes.length);
    this.append(tokens);
  }

  get length(): number {
    return this.#length;
  }

  /** Blocks that are full, and hashed. */
  get completeBlocks(): number {
    return this.#hashed;
  }

  /** The token at a position. */
  at(position: number): number {
    assert(position < this.#length, "a token is read where there is one");
    return this.#tokens[position]!;
  }

  /** Tokens `from` to `to - 1`; a view that the next append may leave behind. */
  tokens(from = 0, to = this.#length): Uint32Array {
    return this.#tokens.subarray(from, Math.min(to, this.#length));
  }

  /** The sequence hash of a complete block. */
  hash(block: number): bigint {
    assert(block < this.#hashed, "a hash is read of a complete block");
    return this.#hashes[block]!;
  }

  /** Sequence hashes of blocks `from` to `to - 1`; a view that the next append may leave behind. */
  hashes(from = 0, to = this.#hashed): BigUint64Array {
    return this.#hashes.subarray(from, Math.min(to, this.#hashed));
  }

  /** Local hashes of blocks `from` to `to - 1`; a view that the next append may leave behind. */
  contents(from: number, to: number): BigUint64Array {
    return this.#contents.subarray(from, Math.min(to, this.#hashed));
  }

  /** Adds one token. */
  push(token: number): void {
    if (this.#length === this.#tokens.length) this.#grow(1);
    this.#tokens[this.#length++] = token;
    if (this.#length % this.blockTokens === 0) this.#hash();
  }

  /** Adds tokens; copies them. */
  append(tokens: Uint32Array): void {
    if (this.#length + tokens.length > this.#tokens.length) this.#grow(tokens.length);
    this.#tokens.set(tokens, this.#length);
    this.#length += tokens.length;
    this.#hash();
  }

  #hash(): void {
    const to = Math.floor(this.#length / this.blockTokens);
    if (to === this.#hashed) return;
    const range = { blockTokens: this.blockTokens, seed: this.#seed, from: this.#hashed, to };
    this.#hasher.hashRange(this.#tokens, range, this.#contents, this.#hashes);
    this.#hashed = to;
  }

  #grow(by: number): void {
    const size = Math.max(this.#tokens.length * 2, this.#length + by);
    const tokens = new Uint32Array(size);
    tokens.set(this.#tokens);
    this.#tokens = tokens;
    const hashes = new BigUint64Array(Math.ceil(size / this.blockTokens));
    hashes.set(this.#hashes);
    this.#hashes = hashes;
    const contents = new BigUint64Array(hashes.length);
    contents.set(this.#contents);
    this.#contents = contents;
  }
}
