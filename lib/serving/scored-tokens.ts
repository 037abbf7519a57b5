import type { AnswerToken, ScoredText, ScoredToken, ServingLogprobs } from "./answer.ts";

/** What reads tokens one by one. */
export interface TokenPieces {
  /** Bytes of one token; special tokens by their names. */
  piece(token: number): Uint8Array;
}

/** A token as people read it. */
export function readToken(pieces: TokenPieces, id: number, logprob: number | undefined): ScoredToken {
  const bytes = pieces.piece(id);
  return { id, text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"), bytes, logprob };
}

/** The most likely tokens at the place of token `at` of a delivery. */
export function readTop(pieces: TokenPieces, scores: ServingLogprobs, at: number): ScoredToken[] {
  const width = scores.topTokens.length / scores.chosen.length;
  const top: ScoredToken[] = [];
  for (let rank = at * width; rank < (at + 1) * width; rank++) {
    top.push(readToken(pieces, scores.topTokens[rank]!, scores.topValues[rank]!));
  }
  return top;
}

/** A token that waits, with the text that it completed. */
interface Waiting {
  readonly id: number;
  readonly text: string;
  /** Where that text begins, in code points. */
  readonly offset: number;
}

/**
 * The tokens of one choice that is told token by token, each with its log-probabilities and the text that it brought. A
 * token waits until all its text may be shown, and one without text until something behind it is: its bytes may belong to
 * a character, and that to a stop string.
 */
export class ScoredTokens {
  readonly #pieces: TokenPieces;
  readonly #base: number;
  readonly #deliveries: ServingLogprobs[] = [];
  /** Tokens of the first delivery that were taken. */
  #used = 0;
  #waiting: Waiting[] = [];
  #head = 0;
  /** UTF-16 units of the text before the first token that waits. */
  #units = 0;

  /** `base`: code points of the text before the first token. */
  constructor(pieces: TokenPieces, base: number) {
    this.#pieces = pieces;
    this.#base = base;
  }

  get count(): number {
    return this.#waiting.length - this.#head;
  }

  /** Keeps a copy of what came beside tokens. */
  keep({ chosen, topTokens, topValues }: ServingLogprobs): void {
    this.#deliveries.push({ chosen: chosen.slice(), topTokens: topTokens.slice(), topValues: topValues.slice() });
  }

  /** The next token, and the text that it completed behind so many code points. */
  add(id: number, text: string, offset: number): void {
    this.#waiting.push({ id, text, offset: this.#base + offset });
  }

  /** The next token that may be told, when so many units of the whole text may be shown. */
  take(freeUnits: number): ScoredText | undefined {
    const next = this.#waiting[this.#head];
    if (!next || freeUnits <= this.#units || freeUnits < this.#units + next.text.length) return undefined;
    return this.#tell(next, next.text);
  }

  /** The same when no more text comes: what the end cut is told as far as it is shown, and what is behind it is dropped. */
  takeLast(freeUnits: number, isCut: boolean): ScoredText | undefined {
    const next = this.#waiting[this.#head];
    if (next && (!isCut || this.#units < freeUnits))
      return this.#tell(next, next.text.slice(0, freeUnits - this.#units));
    this.#waiting = [];
    this.#head = 0;
    return undefined;
  }

  #tell({ id, text, offset }: Waiting, shown: string): ScoredText {
    this.#units += text.length;
    this.#head++;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
    return { text: shown, token: this.#score(id, offset) };
  }

  #score(id: number, offset: number): AnswerToken {
    const first = this.#deliveries[0];
    if (!first) return { ...readToken(this.#pieces, id, Number.NEGATIVE_INFINITY), top: [], offset };
    const at = this.#used++;
    const token = { ...readToken(this.#pieces, id, first.chosen[at]), top: readTop(this.#pieces, first, at), offset };
    if (this.#used === first.chosen.length) {
      this.#deliveries.shift();
      this.#used = 0;
    }
    return token;
  }
}
