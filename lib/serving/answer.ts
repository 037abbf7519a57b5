import type { StatorError } from "#lib/base/errors";
import type { Decision } from "#lib/routing/decision";
import type { Leg } from "#lib/routing/router";

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

/** Where a request was placed, told once before its first token and again after a migration, or where its next leg began. */
export interface Placement {
  /** Its instance. */
  readonly worker: bigint;
  /** Counts the placements of the request, from 1. */
  readonly attempt: number;
  /** Prompt tokens that were found in the prefix cache of the worker that computed it, of the choice that it took first. */
  readonly cachedTokens: number;
  /** Why this worker; `printDecision` has it in words. */
  readonly decision: Decision;
  /** Milliseconds until somebody could take it; undefined when it was placed at once. */
  readonly waitedMs: number | undefined;
  /** What it does there. Absent: all of it. */
  readonly leg?: Exclude<Leg, "whole">;
}

/** Log-probabilities beside delivered tokens, or of a part of a prompt. Borrowed. */
export interface ServingLogprobs {
  /** One for each token. */
  readonly chosen: Float32Array;
  /** The most likely ids at the place of each token, the same number for each, most likely first. */
  readonly topTokens: Uint32Array;
  /** Their log-probabilities. */
  readonly topValues: Float32Array;
}

/** A token with its log-probability. */
export interface ScoredToken {
  /** Of the model's vocabulary. */
  readonly id: number;
  /** What its bytes read as, with U+FFFD where they do not. */
  readonly text: string;
  /** Of the token alone: a character may be spread over several tokens. */
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

/** Text of a choice with the token that brought it. */
export interface ScoredText {
  /** May be empty: a token can bring none. */
  readonly text: string;
  /** undefined for what came at the end, behind the last token. */
  readonly token: AnswerToken | undefined;
}

/** Why a choice ended: it came to an end of its own or to a stop, or to the limit of its tokens. */
export type AnswerFinish = "stop" | "length";

/**
 * What an answer is made of, as calls to who prints it for a door: no object is made for a token. `begin` and `prompt`
 * come before what a choice says; then its `text`, or, where log-probabilities were asked for, each `token` by itself;
 * then its `end`. After the last end comes `done`, and instead of that, at any place, `failed`: nothing follows either.
 * undefined is nothing to tell: what was told before, or is told with what comes next, says it.
 * `soFar` is what was used by what is told up to here; undefined when nobody asked.
 */
export interface AnswerPrinter<Printed> {
  /** Where it runs; again when it moved. Told with the next event. */
  begin(placement: Placement): void;
  /** Log-probabilities of the prompt of a choice from `position` on; borrowed, and told when the choice begins. */
  prompt(choice: number, position: number, logprobs: ServingLogprobs): void;
  /** What a choice says next. */
  text(choice: number, text: string, soFar: Usage | undefined): Printed | undefined;
  /** The same with its log-probabilities, token by token. */
  token(choice: number, part: ScoredText, soFar: Usage | undefined): Printed | undefined;
  /** A choice has ended; everything that it says was told. */
  end(choice: number, finish: AnswerFinish, soFar: Usage | undefined): Printed | undefined;
  /** All choices have ended. */
  done(usage: Usage): Printed;
  /** The request failed as a whole; undefined where whatever carries the answer tells that by itself. */
  failed(error: StatorError): Printed | undefined;
}

/** All that one choice said. */
export interface SaidChoice {
  /** Why it ended. */
  readonly finish: AnswerFinish;
  /** All of its text, what it begins with of its prompt as well. */
  readonly text: string;
  /** All of its tokens, where they are told one by one; else empty. */
  readonly tokens: readonly AnswerToken[];
}

/** Prints an answer that is told as a whole: `begin` and `prompt` as in a stream, each choice when it ended, then the body. */
export interface BodyPrinter<Printed> extends Pick<AnswerPrinter<Printed>, "begin" | "prompt"> {
  /** One choice, once and when it has ended; choices come in any order. */
  choice(choice: number, said: SaidChoice): void;
  /** The whole answer, once and last. */
  body(usage: Usage): Printed;
}

/** Prints embeddings: each as it comes, in any order, then the body. The values are borrowed. */
export interface EmbeddingPrinter<Printed> {
  /** The vector of one input. */
  embedding(choice: number, values: Float32Array): void;
  /** The whole answer, once and last. */
  body(usage: Usage): Printed;
}
