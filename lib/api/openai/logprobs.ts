/** A token with its log-probability, for people: `text` is what its bytes read as, with U+FFFD where they do not. */
export interface ScoredToken {
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly logprob: number;
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

function finite(logprob: number): number {
  return Number.isFinite(logprob) ? logprob : LEAST;
}

function scored({ text, bytes, logprob }: ScoredToken) {
  return { token: text, logprob: finite(logprob), bytes: [...bytes] };
}

/** `logprobs` of a chat choice. */
export function printChatLogprobs(tokens: readonly AnswerToken[]): string {
  const content = tokens.map((token) => ({ ...scored(token), top_logprobs: token.top.map(scored) }));
  return JSON.stringify({ content, refusal: null });
}

/** `logprobs` of a completions choice. Where two of the most likely tokens read the same, the likelier one is kept. */
export function printCompletionLogprobs(tokens: readonly AnswerToken[]): string {
  return JSON.stringify({
    tokens: tokens.map((token) => token.text),
    token_logprobs: tokens.map((token) => finite(token.logprob)),
    top_logprobs: tokens.map((token) => {
      const likeliest = token.top.toReversed().map(({ text, logprob }) => [text, finite(logprob)] as const);
      return Object.fromEntries([[token.text, finite(token.logprob)], ...likeliest]);
    }),
    text_offset: tokens.map((token) => token.offset),
  });
}
