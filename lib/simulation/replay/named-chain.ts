import { assert } from "#lib/base/errors";
import type { BlockChain } from "#lib/tokens/token-chain";
import { type Content, type ContentHashes, joined, type NamedPrompt } from "./content.ts";

const NO_TOKENS = new Uint32Array(0);

/** A sequence whose tokens are only counted: a prompt, and an answer that has one name. */
export class NamedChain implements BlockChain {
  readonly #hasher: ContentHashes;
  readonly #prompt: NamedPrompt;
  readonly #answer: bigint;
  #contents: BigUint64Array;
  #hashes: BigUint64Array;
  #length: number;
  #hashed: number;

  /** Borrows the prompt. `answer` names what is generated. */
  constructor(prompt: NamedPrompt, answer: bigint, hasher: ContentHashes) {
    this.#hasher = hasher;
    this.#prompt = prompt;
    this.#answer = answer;
    this.#contents = prompt.contents;
    this.#hashes = prompt.hashes;
    this.#length = prompt.tokens.length;
    this.#hashed = prompt.hashes.length;
  }

  get length(): number {
    return this.#length;
  }

  get completeBlocks(): number {
    return this.#hashed;
  }

  at(): number {
    return 0;
  }

  tokens(): Uint32Array {
    return NO_TOKENS;
  }

  hash(block: number): bigint {
    assert(block < this.#hashed, "a hash is read of a complete block");
    return this.#hashes[block]!;
  }

  hashes(from = 0, to = this.#hashed): BigUint64Array {
    return this.#hashes.subarray(from, Math.min(to, this.#hashed));
  }

  contents(from: number, to: number): BigUint64Array {
    return this.#contents.subarray(from, Math.min(to, this.#hashed));
  }

  push(): void {
    this.#length++;
    if (this.#length % this.#hasher.blockTokens === 0) this.#hash();
  }

  append(tokens: Uint32Array): void {
    this.#length += tokens.length;
    this.#hash();
  }

  #hash(): void {
    const to = Math.floor(this.#length / this.#hasher.blockTokens);
    if (to === this.#hashed) return;
    // The prompt's own arrays are shared.
    const [contents, hashes] = [new BigUint64Array(to), new BigUint64Array(to)];
    contents.set(this.#contents.subarray(0, this.#hashed));
    hashes.set(this.#hashes.subarray(0, this.#hashed));
    this.#hasher.write(this.#content(), { from: this.#hashed, to }, { contents, hashes });
    [this.#contents, this.#hashes, this.#hashed] = [contents, hashes, to];
  }

  #content(): Content {
    const { content, tokens } = this.#prompt;
    const answered = this.#length - tokens.length;
    return joined(content, { names: BigUint64Array.of(this.#answer), ends: Uint32Array.of(answered) });
  }
}
