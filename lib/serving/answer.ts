/** Tokens of one request. They come from its record and from nowhere else. */
export interface Usage {
  /** Over its prompts; choices of one prompt share it. */
  readonly promptTokens: number;
  /** Of these, found in a prefix cache. */
  readonly cachedTokens: number;
  /** Over all choices; of one that a stop string ended, up to the token that completed it. */
  readonly completionTokens: number;
}

/** Usage of a request from what each of its choices used, in order: a prompt counts once, with what its first choice found. */
export function sumUsage(choices: readonly Usage[], choicesPerPrompt: number): Usage {
  let promptTokens = 0;
  let cachedTokens = 0;
  let completionTokens = 0;
  for (const [index, choice] of choices.entries()) {
    completionTokens += choice.completionTokens;
    if (index % choicesPerPrompt !== 0) continue;
    promptTokens += choice.promptTokens;
    cachedTokens += choice.cachedTokens;
  }
  return { promptTokens, cachedTokens, completionTokens };
}

/** A token with its log-probability. */
export interface ScoredToken {
  readonly id: number;
  /** What its bytes read as, with U+FFFD where they do not. */
  readonly text: string;
  readonly bytes: Uint8Array;
  /** undefined when nobody said. */
  readonly logprob: number | undefined;
}

/** One token of an answer, or of a prompt that is told with it. */
export interface AnswerToken extends ScoredToken {
  /** Most likely tokens at its place, most likely first. */
  readonly top: readonly ScoredToken[];
  /** Where its text begins in the text of the choice, in code points. */
  readonly offset: number;
}

/** Text of a choice with the token that brought it; without one it is what came at the end. */
export interface ScoredText {
  readonly text: string;
  readonly token: AnswerToken | undefined;
}
