/** Halves of a content hash: blocks are compared as two numbers each, which makes no bigint. */
const BLOCK_WORDS = 2;

/** Where a prompt belongs among others, and how many words it has in common with its neighbours there. */
interface Place {
  readonly at: number;
  readonly beforeWords: number;
  readonly nextWords: number;
}

/**
 * Counts the distinct blocks of prompts that have prefixes in common. A block is one with all before it, so what makes
 * two the same is the run of content hashes from the first on; no chain hash is needed. Prompts are kept in
 * lexicographic order: what is shared by any two is shared by neighbours, so the distinct blocks are all blocks less what
 * each has in common with the one before it. Coming and going costs the common prefix and a few comparisons.
 */
export class SharedBlocks {
  readonly #prompts: Uint32Array[] = [];
  #distinct = 0;

  /** Prompts that are here. */
  get prompts(): number {
    return this.#prompts.length;
  }

  /** Their distinct blocks. */
  get distinct(): number {
    return this.#distinct;
  }

  /** Adds a prompt as `wordsOf` its content hashes; keeps them. Whoever removes it gives the same words. */
  add(words: Uint32Array): void {
    const { at, beforeWords, nextWords } = this.#placeOf(words);
    this.#prompts.splice(at, 0, words);
    this.#distinct += blocksOf(words.length) - blocksOf(Math.max(beforeWords, nextWords));
  }

  /** Removes one of the prompts with these words. */
  remove(words: Uint32Array): void {
    const { at, beforeWords } = this.#placeOf(words);
    this.#prompts.splice(at, 1);
    const next = this.#prompts[at];
    const nextWords = next ? commonWords(next, words, 0) : 0;
    this.#distinct -= blocksOf(words.length) - blocksOf(Math.max(beforeWords, nextWords));
  }

  /** Blocks of a prompt that another one has, from its first on. */
  countShared(words: Uint32Array): number {
    const { beforeWords, nextWords } = this.#placeOf(words);
    return blocksOf(Math.max(beforeWords, nextWords));
  }

  /** Halves the list and keeps what is known to be common with both ends, so that no word is compared twice with it. */
  #placeOf(words: Uint32Array): Place {
    let [low, high, beforeWords, nextWords] = [0, this.#prompts.length, 0, 0];
    while (low < high) {
      const middle = (low + high) >> 1;
      const prompt = this.#prompts[middle]!;
      const common = commonWords(prompt, words, Math.min(beforeWords, nextWords));
      const isBefore = common < words.length && (common === prompt.length || prompt[common]! < words[common]!);
      if (isBefore) [low, beforeWords] = [middle + 1, common];
      else [high, nextWords] = [middle, common];
    }
    return { at: low, beforeWords, nextWords };
  }
}

/** Content hashes as they are compared: a view, as long as the hashes are not changed. */
export function wordsOf(contents: BigUint64Array): Uint32Array {
  return new Uint32Array(contents.buffer, contents.byteOffset, contents.length * BLOCK_WORDS);
}

function blocksOf(words: number): number {
  return Math.floor(words / BLOCK_WORDS);
}

function commonWords(left: Uint32Array, right: Uint32Array, from: number): number {
  const length = Math.min(left.length, right.length);
  let at = from;
  while (at < length && left[at] === right[at]) at++;
  return at;
}
