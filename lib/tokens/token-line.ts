import { assert } from "#lib/base/errors";
import type { BlockHasher } from "./block-hash.ts";

/** How the blocks of a prompt are named. */
export interface BlockNaming {
  /** Tokens of a block. */
  readonly blockTokens: number;
  /** Of `hashSeed`. */
  readonly seed: bigint;
}

/** Sequence hashes that were computed under one naming. */
interface Named extends BlockNaming {
  hashes: BigUint64Array;
  /** Blocks that are hashed. */
  count: number;
}

type OwnsBuffer = (buffer: ArrayBufferLike, line: TokenLine) => void;

/** Namings that a line keeps: salts come from clients, and may be many. */
const MOST_NAMINGS = 2;

/** Memory beyond what is there: a part of so many. */
const ROOM_SHARE = 8;

/**
 * Token ids that prompts begin with, each a little longer than the one before. They share the memory: a prompt is a view
 * of the first so many, and what was written once stays as it is. What blocks are named is kept beside them.
 */
export class TokenLine {
  /** Told how many bytes its hashes take more; undefined: nobody counts. */
  onHashes: ((bytes: number) => void) | undefined;
  readonly #own: OwnsBuffer;
  #memory: Uint32Array;
  #length: number;
  readonly #named: Named[] = [];

  /**
   * Takes `ids` and the room behind them in their buffer.
   * @param own called with each buffer that its prompts are views of
   */
  constructor(ids: Uint32Array, own: OwnsBuffer) {
    assert(ids.byteOffset === 0, "the ids of a line begin its memory");
    this.#memory = new Uint32Array(ids.buffer);
    this.#length = ids.length;
    this.#own = own;
    own(ids.buffer, this);
  }

  /** Ids that were written. */
  get length(): number {
    return this.#length;
  }

  /** Of ids and hashes, with the room that they have. */
  get bytes(): number {
    return this.#named.reduce((sum, { hashes }) => sum + hashes.byteLength, this.#memory.byteLength);
  }

  /** The first so many ids; nobody may write to them. */
  first(count: number): Uint32Array {
    return this.#memory.subarray(0, count);
  }

  /** Goes on with `more` behind the first `at` ids. Answers false, and changes nothing, where others stand there. */
  extend(at: number, more: Uint32Array): boolean {
    const known = Math.min(this.#length - at, more.length);
    for (let each = 0; each < known; each++) if (this.#memory[at + each] !== more[each]) return false;
    const length = at + more.length;
    if (length > this.#memory.length) this.#grow(length);
    if (length > this.#length) {
      this.#memory.set(more.subarray(known), at + known);
      this.#length = length;
    }
    return true;
  }

  /** A line of its own that begins with the first `at` ids and goes on with `more`; hashes are kept. */
  fork(at: number, more?: Uint32Array): TokenLine {
    const length = at + (more?.length ?? 0);
    const memory = new Uint32Array(more ? withRoom(length) : length);
    memory.set(this.first(at));
    if (more) memory.set(more, at);
    const line = new TokenLine(memory.subarray(0, length), this.#own);
    for (const { blockTokens, seed, hashes, count } of this.#named) {
      const kept = Math.min(count, Math.floor(at / blockTokens));
      line.#named.push({ blockTokens, seed, hashes: hashes.slice(0, kept), count: kept });
    }
    return line;
  }

  /** Sequence hashes of the complete blocks of `ids`, which are the first of the line; a view, which nobody may write to. */
  blockHashes(ids: Uint32Array, naming: BlockNaming, hasher: BlockHasher): BigUint64Array {
    const { blockTokens, seed } = naming;
    const blocks = Math.floor(ids.length / blockTokens);
    const before = this.bytes;
    const named = this.#namedBy(naming);
    if (blocks > named.count) {
      if (blocks > named.hashes.length) {
        const hashes = new BigUint64Array(withRoom(blocks));
        hashes.set(named.hashes.subarray(0, named.count));
        named.hashes = hashes;
      }
      hasher.hashBlocks(ids, blockTokens, seed, named.hashes, named.hashes, named.count);
      named.count = blocks;
    }
    if (this.bytes !== before) this.onHashes?.(this.bytes - before);
    return named.hashes.subarray(0, blocks);
  }

  #namedBy({ blockTokens, seed }: BlockNaming): Named {
    const found = this.#named.find((each) => each.blockTokens === blockTokens && each.seed === seed);
    if (found) return found;
    const named = { blockTokens, seed, hashes: new BigUint64Array(0), count: 0 };
    this.#named.unshift(named);
    if (this.#named.length > MOST_NAMINGS) this.#named.pop();
    return named;
  }

  /** What was written is copied: prompts keep the memory that they are views of. */
  #grow(length: number): void {
    const memory = new Uint32Array(withRoom(length));
    memory.set(this.first(this.#length));
    this.#memory = memory;
    this.#own(memory.buffer, this);
  }
}

function withRoom(count: number): number {
  return count + Math.floor(count / ROOM_SHARE);
}

/**
 * The lines of a process: who encodes prompts begins them, who wants the names of a prompt's blocks asks here. A prompt
 * that is a view of a line pays for the blocks that nobody asked about before; any other is hashed whole.
 */
export class TokenLines {
  readonly #hasher: BlockHasher;
  readonly #byBuffer = new WeakMap<ArrayBufferLike, TokenLine>();

  constructor(hasher: BlockHasher) {
    this.#hasher = hasher;
  }

  /** A line of these ids, which it takes, with the room behind them in their buffer. */
  begin(ids: Uint32Array): TokenLine {
    return new TokenLine(ids, (buffer, line) => this.#byBuffer.set(buffer, line));
  }

  /** Sequence hashes of the complete blocks of a prompt; nobody may write to them. */
  blockHashes(ids: Uint32Array, naming: BlockNaming): BigUint64Array {
    const line = ids.byteOffset === 0 ? this.#byBuffer.get(ids.buffer) : undefined;
    if (line) return line.blockHashes(ids, naming, this.#hasher);
    const { blockTokens, seed } = naming;
    const hashes = new BigUint64Array(Math.floor(ids.length / blockTokens));
    this.#hasher.hashBlocks(ids, blockTokens, seed, hashes, hashes);
    return hashes;
  }
}
