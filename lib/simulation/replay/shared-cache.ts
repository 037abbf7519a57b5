import type { Content } from "./content.ts";

/**
 * What could be reused at best: one cache for all workers that forgets nothing and has a prompt as soon as it comes. Its
 * memory grows with every stretch that nobody had before.
 */
export class SharedCache {
  readonly #blockTokens: number;
  /** Place of a stretch behind another one of some length, by all three. */
  readonly #places = new Map<bigint, number>();
  /** Most tokens of each that were seen, by place; nothing is at place 0. */
  readonly #tokens: number[] = [0];

  /** `blockTokens`: of the engines, which reuse whole blocks. */
  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens;
  }

  /** A prompt comes: returns how many of its tokens are there, in whole blocks, at least one token being left to compute; then all are. */
  meet(prompt: Content): number {
    const found = this.#walk(prompt);
    const most = Math.max(0, (prompt.ends.at(-1) ?? 0) - 1);
    return Math.floor(Math.min(found, most) / this.#blockTokens) * this.#blockTokens;
  }

  /** What was generated behind a prompt is there: `whole` are both. */
  append(whole: Content): void {
    this.#walk(whole);
  }

  /** Leaves all of it there; returns how many tokens from its start on were. */
  #walk({ names, ends }: Content): number {
    let found = 0;
    let isKnown = true;
    let behind = 0n;
    for (const [at, name] of names.entries()) {
      const tokens = ends[at]! - (ends[at - 1] ?? 0);
      const place = this.#placeOf((behind << 64n) | name);
      const seen = this.#tokens[place]!;
      if (isKnown) found += Math.min(tokens, seen);
      isKnown &&= seen >= tokens;
      this.#tokens[place] = Math.max(tokens, seen);
      behind = (BigInt(place) << 32n) | BigInt(tokens);
    }
    return found;
  }

  #placeOf(key: bigint): number {
    const found = this.#places.get(key);
    if (found !== undefined) return found;
    const place = this.#tokens.push(0) - 1;
    this.#places.set(key, place);
    return place;
  }
}
