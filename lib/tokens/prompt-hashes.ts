import { assert } from "#lib/base/errors";
import { type BlockObjects, type ContentHasher, completeBlocks } from "./block-hash.ts";

/** How blocks are made of a prompt. */
export interface PromptShape {
  /** Tokens of a block, at least 1. */
  readonly blockTokens: number;
  /** How far a hash looks into the block that follows, 0 or 1; without it 0. */
  readonly aheadTokens?: number;
  /** Blocks that are hashed first, at least 1; without it 32. A native hasher has a call to pay: 128 serve it best. */
  readonly stepBlocks?: number;
}

/**
 * Local hashes of one prompt after another, made when they are asked for, a step at a time and each step as long as all
 * before it: who compares them with what is cached pays for at most twice as many blocks as match, in few calls. An
 * instance serves one prompt at a time and uses its memory again.
 */
export class PromptHashes {
  readonly #hasher: ContentHasher;
  readonly #shape: Required<PromptShape>;
  #local = new BigUint64Array(512);
  #tokens: Uint32Array = new Uint32Array(0);
  #seed = 0n;
  #objects: BlockObjects | undefined;
  #length = 0;
  #hashed = 0;

  constructor(hasher: ContentHasher, shape: PromptShape) {
    this.#hasher = hasher;
    this.#shape = { aheadTokens: 0, stepBlocks: 32, ...shape };
  }

  /** Begins another prompt; borrows its tokens and objects until the next. `seed` is that of its salt and adapter. */
  open(tokens: Uint32Array, seed: bigint, objects?: BlockObjects): this {
    this.#tokens = tokens;
    this.#seed = seed;
    this.#objects = objects;
    this.#length = completeBlocks(tokens.length, this.#shape.blockTokens, this.#shape.aheadTokens);
    this.#hashed = 0;
    if (this.#local.length < this.#length) this.#local = new BigUint64Array(this.#length * 2);
    return this;
  }

  /** Complete blocks of the prompt. */
  get length(): number {
    return this.#length;
  }

  /** Blocks that were hashed so far. */
  get hashed(): number {
    return this.#hashed;
  }

  /** Local hashes, the first `to` of them made; valid until the next prompt. */
  contents(to: number): BigUint64Array {
    if (to > this.#hashed) this.#hash(to);
    return this.#local;
  }

  #hash(to: number): void {
    assert(to <= this.#length, "only complete blocks have a hash");
    const { blockTokens, aheadTokens, stepBlocks } = this.#shape;
    const from = this.#hashed;
    const end = Math.min(this.#length, Math.max(Math.ceil(to / stepBlocks) * stepBlocks, 2 * from));
    this.#hasher.hashContents(
      this.#tokens,
      blockTokens,
      aheadTokens,
      this.#seed,
      from,
      end,
      this.#local,
      this.#objects,
    );
    this.#hashed = end;
  }
}
