import type { AnswerToken, ScoredToken } from "#lib/api/openai/logprobs";
import type { ServingLogprobs } from "#lib/serving/request";
import type { ModelText, TokenDecoder } from "../text/model-text.ts";

/** One delivery's log-probabilities, copied. */
interface Delivery {
  readonly chosen: Float32Array;
  readonly topTokens: Uint32Array;
  readonly topValues: Float32Array;
}

/** Joins the tokens of one choice with their log-probabilities and with where their text begins in that of the choice. */
export class ScoredTokens {
  readonly #text: ModelText;
  readonly #base: number;
  readonly #deliveries: Delivery[] = [];
  /** Tokens of the first delivery that were decoded already. */
  #used = 0;
  #tokens: AnswerToken[] = [];

  /** `base`: code points of the text before the first token. */
  constructor(text: ModelText, base: number) {
    this.#text = text;
    this.#base = base;
  }

  /** Keeps a copy of what came beside tokens. */
  keep({ chosen, topTokens, topValues }: ServingLogprobs): void {
    this.#deliveries.push({ chosen: chosen.slice(), topTokens: topTokens.slice(), topValues: topValues.slice() });
  }

  /** Decodes tokens `from .. to` one by one, so that each has a place in the text. */
  decode(decoder: TokenDecoder, tokens: Uint32Array, from: number, to: number): string {
    let text = "";
    for (let at = from; at < to; at++) {
      this.#tokens.push(this.#score(tokens[at]!, decoder.length));
      text += decoder.push(tokens, at, at + 1);
    }
    return text;
  }

  /** Takes what was decoded; tokens that begin at or after `cutOffset` belong to text that is not shown. */
  take(cutOffset: number | undefined): readonly AnswerToken[] {
    const tokens = this.#tokens;
    this.#tokens = [];
    const shown = cutOffset === undefined ? tokens : tokens.filter((token) => token.offset < cutOffset);
    const base = this.#base;
    return base === 0 ? shown : shown.map((token) => ({ ...token, offset: token.offset + base }));
  }

  #score(token: number, offset: number): AnswerToken {
    const first = this.#deliveries[0];
    if (!first) return { ...this.#read(token, Number.NEGATIVE_INFINITY), top: [], offset };
    const at = this.#used++;
    const width = first.topTokens.length / first.chosen.length;
    const top: ScoredToken[] = [];
    for (let rank = at * width; rank < (at + 1) * width; rank++) {
      top.push(this.#read(first.topTokens[rank]!, first.topValues[rank]!));
    }
    const scored = { ...this.#read(token, first.chosen[at]!), top, offset };
    if (this.#used === first.chosen.length) {
      this.#deliveries.shift();
      this.#used = 0;
    }
    return scored;
  }

  #read(token: number, logprob: number): ScoredToken {
    return readScored(this.#text, token, logprob);
  }
}

/** A token as people read it. */
export function readScored(text: ModelText, token: number, logprob: number): ScoredToken {
  const bytes = text.piece(token);
  return { text: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"), bytes, logprob };
}
