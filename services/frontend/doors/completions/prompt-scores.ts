import { CompletionLogprobs } from "#lib/api/openai/logprobs";
import { StatorError } from "#lib/base/errors";
import type { AnswerToken, ScoredToken, ServingLogprobs } from "#lib/serving/answer";
import { readToken, readTop } from "#lib/serving/scored-tokens";
import type { TokenDecoder } from "#lib/text/detokenizer";
import type { ModelText } from "../../text/model-text.ts";

/** The log-probabilities of one choice's prompt. They are printed as they come, so that a long prompt costs no turn much. */
export class PromptScores {
  readonly #text: ModelText;
  readonly #prompt: Uint32Array;
  readonly #decoder: TokenDecoder;
  readonly #printed = new CompletionLogprobs();
  #told = 0;

  constructor(prompt: Uint32Array, text: ModelText) {
    this.#text = text;
    this.#prompt = prompt;
    this.#decoder = text.createDecoder();
  }

  /** Takes those of the tokens from `position` on, which must be the next ones. */
  keep(position: number, scores: ServingLogprobs): void {
    const { chosen } = scores;
    if (position !== Math.max(1, this.#told) || position + chosen.length > this.#prompt.length) throw incomplete();
    const tokens = this.#told === 0 ? [this.#next(undefined, [])] : [];
    for (const [at, logprob] of chosen.entries()) tokens.push(this.#next(logprob, readTop(this.#text, scores, at)));
    this.#printed.add(tokens);
  }

  /** All of them. Throws ENGINE_FAILED when some did not come. */
  take(): CompletionLogprobs {
    if (this.#told === 0) this.#printed.add([this.#next(undefined, [])]);
    if (this.#told < this.#prompt.length) throw incomplete();
    return this.#printed;
  }

  /** The next token of the prompt. */
  #next(logprob: number | undefined, top: readonly ScoredToken[]): AnswerToken {
    const at = this.#told++;
    const token = { ...readToken(this.#text, this.#prompt[at]!, logprob), top, offset: this.#decoder.length };
    this.#decoder.push(this.#prompt, at, at + 1);
    return token;
  }
}

function incomplete(): StatorError {
  return new StatorError("ENGINE_FAILED", { detail: "it left out log-probabilities of the prompt" });
}
