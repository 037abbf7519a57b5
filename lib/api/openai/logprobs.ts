/** A token with its log-probability, for people. */
export interface ScoredToken {
  /** What its bytes read as, with U+FFFD where they do not. */
  readonly text: string;
  /** Of the token alone: a character may be spread over several tokens. */
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
 * `logprobs` of a completions choice, printed part by part, so that a long prompt's are printed as they come. Where two of
 * the most likely tokens read the same, the likelier one is kept.
 */
export class CompletionLogprobs {
  /** Items of the four lists as JSON, with commas between them. */
  readonly #lists: readonly [string[], string[], string[], string[]] = [[], [], [], []];

  add(tokens: readonly AnswerToken[]): void {
    if (tokens.length === 0) return;
    const [texts, logprobs, top, offsets] = this.#lists;
    texts.push(items(tokens.map(({ text }) => text)));
    logprobs.push(items(tokens.map(({ logprob }) => finite(logprob))));
    top.push(items(tokens.map((token) => (token.logprob === undefined ? null : likeliest(token)))));
    offsets.push(items(tokens.map(({ offset }) => offset)));
  }

  print(): string {
    const [texts, logprobs, top, offsets] = this.#lists.map((list) => `[${list.join(",")}]`);
    return `{"tokens":${texts},"token_logprobs":${logprobs},"top_logprobs":${top},"text_offset":${offsets}}`;
  }
}

function items(list: readonly unknown[]): string {
  return JSON.stringify(list).slice(1, -1);
}

function likeliest(token: AnswerToken): Record<string, number | null> {
  const top = token.top.toReversed().map(({ text, logprob }) => [text, finite(logprob)] as const);
  return Object.fromEntries([[token.text, finite(token.logprob)], ...top]);
}
