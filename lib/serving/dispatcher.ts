import type { StatorError } from "#lib/base/errors";
import type { Placement, ServingLogprobs, Usage } from "./answer.ts";
import type { Ask } from "./ask.ts";

/** How one choice ended. */
export interface ChoiceEnd {
  /** The engine's; `done` of an embedding, `cancelled` of a choice that was finished by its owner. */
  readonly reason: "end" | "stop_token" | "length" | "cancelled" | "done";
  /** The token that ended it, not among its tokens; undefined where none did. */
  readonly stopToken: number | undefined;
}

/** Who receives an answer. After one `onDone`, which follows the last choice's `onEnd`, or one `onError`, nothing more comes. */
export interface ServingSink {
  /** Some worker took the request: before its first token, and again when it moved. */
  onPlaced(placement: Placement): void;
  /** Tokens of one choice in order, over all attempts; borrowed for the call. */
  onTokens(choice: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void;
  /** Log-probabilities of a choice's prompt from `position` on: in order, each once, before its first token. Borrowed. */
  onPromptLogprobs?(choice: number, position: number, logprobs: ServingLogprobs): void;
  /** The next piece of a choice's text, in place of tokens, for an ask of text; never the same twice. */
  onText?(choice: number, text: string): void;
  /** The vector of one input, before its end. Borrowed for the call. */
  onEmbedding(choice: number, values: Float32Array): void;
  /** All of one choice was told. */
  onEnd(choice: number, end: ChoiceEnd): void;
  /** Every choice has ended; `usage` is that of the record. */
  onDone(usage: Usage): void;
  /** The request failed as a whole. */
  onError(error: StatorError): void;
}

/** A running request, as its owner holds it. */
export interface ServingHandle {
  /** What was used so far: of tokens that came, whether or not they were told. */
  readonly usage: Usage;
  /** The client left: every choice is cancelled and nothing more is told. */
  cancel(): void;
  /**
   * This choice is complete with its first `tokens` tokens, or pieces of text, such as by a stop string; those behind it do not count. Its
   * worker is stopped, and nothing more of it is told but its onEnd with reason cancelled.
   */
  finishChoice(choice: number, tokens: number): void;
}

/**
 * Starts requests. The sink hears all that follows, from the end of this turn on: MODEL_NOT_FOUND, MODEL_LOADING,
 * WORKER_NOT_FOUND, DRAINING or OVERLOADED too, and NO_WORKERS, perhaps after a wait for one. Throws what
 * `readyAsk` does, or `textAsk` where the model's workers take text, and nothing else.
 */
export interface Dispatcher {
  /** Keeps the ask; it is not to be changed afterwards. */
  start(ask: Ask<unknown>, sink: ServingSink): ServingHandle;
}
