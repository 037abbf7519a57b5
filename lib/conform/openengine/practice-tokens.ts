import type { SamplingParams } from "#gen/openengine/v1/generation_pb";

/** Tokens that a practice engine has. Id 0 is none of them. */
export const VOCABULARY = 4_096;

/** Alternatives that it reports at most. */
export const MOST_TOP = 3;

/** How often a token says its number: long texts soon fill whatever keeps an answer that nobody reads. */
const SAID = 200;

/** Token ids of a text: one for each word, and for what stands behind it. */
export function practiceTokenize(text: string): Uint32Array {
  const words = text.match(/\S+\s*|\s+/g) ?? [];
  return Uint32Array.from(
    words,
    (word) =>
      1 +
      (hash(
        0,
        [...word].map((letter) => letter.codePointAt(0)!),
      ) %
        (VOCABULARY - 1)),
  );
}

/** Text of a token: all have the same length, and no two are the same. */
export function practiceText(token: number): string {
  return ` ${token.toString(36).padStart(3, "0").repeat(SAID)}`;
}

/** Draws tokens from nothing but what they stand behind: without chance, so that equal requests have equal answers. */
export class PracticeDraw {
  readonly #greedy: boolean;
  #state: number;

  constructor(
    prompt: Uint32Array,
    sampling: SamplingParams | undefined,
    { choice, seed }: { choice: number; seed: bigint },
  ) {
    this.#greedy = sampling?.temperature === 0 || sampling?.topK === 1;
    const number = BigInt.asUintN(64, sampling?.seed ?? seed);
    const drawn = [Number(number & 0xffff_ffffn), Number(number >> 32n), choice];
    this.#state = hash(hash(7, prompt), this.#greedy ? [] : drawn);
  }

  /** The next token. */
  next(): number {
    this.#state = hash(this.#state, [this.#greedy ? 1 : 2]);
    return 1 + (this.#state % (VOCABULARY - 1));
  }
}

/** Log-probabilities of a token that was drawn as the most likely one, and of those behind it. */
export function practiceScores(token: number, top: number) {
  const candidates = Array.from({ length: top }, (_, place) => {
    const tokenId = 1 + ((token - 1 + place) % (VOCABULARY - 1));
    return { tokenId, token: practiceText(tokenId), logprob: -0.5 - place, rank: place + 1 };
  });
  return { logprob: -0.5, rank: 1, candidates };
}

function hash(seed: number, values: Iterable<number>): number {
  let state = seed ^ 0x811c9dc5;
  for (const value of values) {
    state = Math.imul(state ^ value, 0x01000193);
    state ^= state >>> 15;
  }
  state = Math.imul(state ^ (state >>> 16), 0x45d9f3b);
  return (state ^ (state >>> 16)) >>> 0;
}
