import type { StatorError } from "#lib/base/errors";
import type { Decision } from "#lib/routing/decision";

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

/** Where a request was placed, told once before its first token and again after a migration. */
export interface Placement {
  readonly worker: bigint;
  readonly attempt: number;
  readonly cachedTokens: number;
  /** Why this worker; `printDecision` has it in words. */
  readonly decision: Decision;
  /** Milliseconds until somebody could take it; undefined when it was placed at once. */
  readonly waitedMs: number | undefined;
}

/** Log-probabilities beside delivered tokens, or of a part of a prompt: `chosen` has one per token, `top*` the same number for each token. Borrowed. */
export interface ServingLogprobs {
  readonly chosen: Float32Array;
  readonly topTokens: Uint32Array;
  readonly topValues: Float32Array;
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

/** Why a choice ended: it came to an end of its own or to a stop, or to the limit of its tokens. */
export type AnswerFinish = "stop" | "length";

/**
 * What an answer is made of, as calls to who prints it for a door: no object is made for a token. `begin` and `prompt`
 * come before what a choice says; then its `text`, or, where log-probabilities were asked for, each `token` by itself;
 * then its `end`. After the last end comes `done`, and instead of that, at any place, `failed`: nothing follows either.
 * `soFar` is what was used by what is told up to here; undefined when nobody asked.
 */
export interface AnswerPrinter<Printed> {
  /** Where it runs; again when it moved. Told with the next event. */
  begin(placement: Placement): void;
  /** Log-probabilities of the prompt of a choice from `position` on; borrowed, and told when the choice begins. */
  prompt(choice: number, position: number, logprobs: ServingLogprobs): void;
  text(choice: number, text: string, soFar: Usage | undefined): Printed;
  token(choice: number, part: ScoredText, soFar: Usage | undefined): Printed;
  end(choice: number, finish: AnswerFinish, soFar: Usage | undefined): Printed;
  done(usage: Usage): Printed;
  failed(error: StatorError): Printed;
}

/** All that one choice said. */
export interface SaidChoice {
  readonly finish: AnswerFinish;
  readonly text: string;
  /** Where log-probabilities were asked for. */
  readonly tokens: readonly AnswerToken[];
}

/** Prints an answer that is told as a whole: `begin` and `prompt` as in a stream, each choice when it ended, then the body. */
export interface BodyPrinter<Printed> extends Pick<AnswerPrinter<Printed>, "begin" | "prompt"> {
  choice(choice: number, said: SaidChoice): void;
  body(usage: Usage): Printed;
}

/** Prints embeddings: each as it comes, in any order, then the body. The values are borrowed. */
export interface EmbeddingPrinter<Printed> {
  embedding(choice: number, values: Float32Array): void;
  body(usage: Usage): Printed;
}
