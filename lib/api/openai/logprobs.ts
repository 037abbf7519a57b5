/** A token with its log-probability, for people: `text` is what its bytes read as, with U+FFFD where they do not. */
export interface ScoredToken {
  readonly text: string;
  readonly bytes: Uint8Array;
  /** undefined for the first token of a prompt, which follows nothing. */
  readonly logprob: number | undefined;
}

/** One token of an answer. */
export interface AnswerToken extends ScoredToken {
  /** Most likely tokens at its place, most likely first. */
  readonly top: readonly ScoredToken[];
  /** Where its text begins in the text of the choice, in code points. */
  readonly offset: number;
}

/** What OpenAI writes for a token that cannot happen; JSON has no minus infinity. */
const LEAST = -9999;

function finite(logprob: number | undefined): number | null {
  return logprob === undefined ? null : Number.isFinite(logprob) ? logprob : LEAST;
}

function scored({ text, bytes, logprob }: ScoredToken) {
  return { token: text, logprob: finite(logprob), bytes: [...bytes] };
}

/** `logprobs` of a chat choice. */
export function printChatLogprobs(tokens: readonly AnswerToken[]): string {
  const content = tokens.map((token) => ({ ...scored(token), top_logprobs: token.top.map(scored) }));
  return JSON.stringify({ content, refusal: null });
}

/**
 * `logprobs` of a completions choice, printed token by token, so that a long prompt's are printed as they come. Where two
 * of the most likely tokens read the same, the likelier one is kept.
 */
export class CompletionLogprobs {
  #tokens = "";
  #logprobs = "";
  #top = "";
  #offsets = "";

  add(tokens: readonly AnswerToken[]): void {
    for (const token of tokens) {
      const comma = this.#tokens === "" ? "" : ",";
      this.#tokens += comma + JSON.stringify(token.text);
      this.#logprobs += comma + String(finite(token.logprob));
      this.#top += comma + (token.logprob === undefined ? "null" : JSON.stringify(likeliest(token)));
      this.#offsets += comma + String(token.offset);
    }
  }

  print(): string {
    return (
      `{"tokens":[${this.#tokens}],"token_logprobs":[${this.#logprobs}],` +
      `"top_logprobs":[${this.#top}],"text_offset":[${this.#offsets}]}`
    );
  }
}

function likeliest(token: AnswerToken): Record<string, number | null> {
  const top = token.top.toReversed().map(({ text, logprob }) => [text, finite(logprob)] as const);
  return Object.fromEntries([[token.text, finite(token.logprob)], ...top]);
}
