import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { Xxh3 } from "#lib/tokens/xxh3";

/**
 * What a prompt holds without its tokens: stretches that have names, one after the other. Equal names mean equal tokens
 * from the start of the stretch on, so two prompts share what both begin with.
 */
export interface Content {
  /** Of each stretch: names are all that is known of its tokens. */
  readonly names: BigUint64Array;
  /** Tokens up to the end of each stretch; ascending, the last is the length. */
  readonly ends: Uint32Array;
}

/** A prompt cut into blocks of an engine. */
export interface NamedPrompt {
  /** As many as it has tokens, all 0: its length, and by its identity its content. Shared memory, read only. */
  readonly tokens: Uint32Array;
  /** What it holds. */
  readonly content: Content;
  /** Local hashes of its complete blocks. */
  readonly contents: BigUint64Array;
  /** Sequence hashes of the same. */
  readonly hashes: BigUint64Array;
}

/** Tokens of a content. */
export function lengthOf({ ends }: Content): number {
  return ends.at(-1) ?? 0;
}

/** One content behind another. */
export function joined(left: Content, right: Content): Content {
  const length = lengthOf(left);
  const names = new BigUint64Array(left.names.length + right.names.length);
  names.set(left.names);
  names.set(right.names, left.names.length);
  const ends = new Uint32Array(names.length);
  ends.set(left.ends);
  for (const [at, end] of right.ends.entries()) ends[left.ends.length + at] = length + end;
  return { names, ends };
}

/** `names` of stretches of `stretchTokens` each, of which the last ends where the content does. */
export function contentOf(names: BigUint64Array, stretchTokens: number, tokens: number): Content {
  const ends = new Uint32Array(names.length);
  for (let at = 0; at < names.length; at++) ends[at] = Math.min((at + 1) * stretchTokens, tokens);
  return { names, ends };
}

const BYTES_PER_PIECE = 16;
const [SEED_LOW, SEED_HIGH] = [Number(hashSeed("", undefined) & 0xffff_ffffn), 0];

/**
 * Hashes blocks of named content. The local hash of a block is the XXH3-64 of what it is made of, under the seed of local
 * hashes: for each stretch that it touches the name and where in the stretch it begins and ends (LE64, LE32, LE32). Blocks of
 * any size work, whatever the stretches of a trace are; those of equal tokens have equal hashes where they are cut alike.
 */
export class ContentHashes {
  readonly #blockTokens: number;
  readonly #kernel = new Xxh3();
  readonly #hasher = new TokenHasher();
  #pieces = new DataView(new ArrayBuffer(64 * BYTES_PER_PIECE));
  #zeros = new Uint32Array(1 << 17);

  /** `blockTokens`: of the engine. */
  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens;
  }

  /** Tokens of a block. */
  get blockTokens(): number {
    return this.#blockTokens;
  }

  /** So many tokens that nobody reads: all are 0, and their memory is shared. */
  tokens(count: number): Uint32Array {
    if (count > this.#zeros.length) this.#zeros = new Uint32Array(2 * count);
    return this.#zeros.subarray(0, count);
  }

  /** Cuts a prompt; keeps the content. */
  prompt(content: Content): NamedPrompt {
    const tokens = this.tokens(lengthOf(content));
    const blocks = Math.floor(tokens.length / this.#blockTokens);
    const contents = new BigUint64Array(blocks);
    const hashes = new BigUint64Array(blocks);
    this.write(content, { from: 0, to: blocks }, { contents, hashes });
    return { tokens, content, contents, hashes };
  }

  /** Writes the hashes of blocks `from` to `to - 1` at their own places; what is before them is there. */
  write(
    content: Content,
    range: { readonly from: number; readonly to: number },
    into: { readonly contents: BigUint64Array; readonly hashes: BigUint64Array },
  ): void {
    const { contents, hashes } = into;
    const words = new Int32Array(contents.buffer, contents.byteOffset, contents.length * 2);
    let stretch = 0;
    for (let block = range.from; block < range.to; block++) {
      stretch = this.#hashBlock(content, block, stretch);
      words[block * 2] = this.#kernel.lo;
      words[block * 2 + 1] = this.#kernel.hi;
    }
    this.#hasher.chainRange(contents, range, hashes);
  }

  /** Hashes one block; returns the stretch that it ends in, where the search for the next one begins. */
  #hashBlock({ names, ends }: Content, block: number, from: number): number {
    const start = block * this.#blockTokens;
    const end = start + this.#blockTokens;
    let stretch = from;
    while (ends[stretch]! <= start) stretch++;
    let count = 0;
    for (; ; stretch++) {
      if ((count + 1) * BYTES_PER_PIECE > this.#pieces.byteLength) this.#grow();
      const begin = stretch === 0 ? 0 : ends[stretch - 1]!;
      const at = count++ * BYTES_PER_PIECE;
      this.#pieces.setBigUint64(at, names[stretch]!, true);
      this.#pieces.setUint32(at + 8, Math.max(start, begin) - begin, true);
      this.#pieces.setUint32(at + 12, Math.min(end, ends[stretch]!) - begin, true);
      if (ends[stretch]! >= end) break;
    }
    this.#kernel.hash(this.#pieces, 0, count * BYTES_PER_PIECE, SEED_LOW, SEED_HIGH);
    return stretch;
  }

  #grow(): void {
    const pieces = new DataView(new ArrayBuffer(2 * this.#pieces.byteLength));
    new Uint8Array(pieces.buffer).set(new Uint8Array(this.#pieces.buffer));
    this.#pieces = pieces;
  }
}
