import type { StatorError } from "#lib/base/errors";
import type { Decision } from "#lib/routing/decision";
import type { SamplingOptions } from "#lib/tokens/sampling";
import type { Usage } from "./answer.ts";

/** A request as the serving layer takes it: validated, tokenized, with every default filled in. It keeps the arrays. */
export interface ServingRequest {
  readonly requestId: string;
  /** Route for the ledger, such as chat, completions, embeddings, openengine. */
  readonly route: string;
  readonly kind: "generate" | "embed";
  /** Served model or adapter, by its name in the API. */
  readonly model: string;
  /** Digest of the tokenizer that made the prompts, in hex; empty when nobody stated one. */
  readonly tokenizer: string;
  /** One sequence each; for embed exactly one entry per input. Entries share the prompt when `prompts` has one. */
  readonly prompts: readonly Uint32Array[];
  /** Choices per prompt; choice index = prompt index x choicesPerPrompt + i. */
  readonly choicesPerPrompt: number;
  readonly sampling: SamplingOptions;
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stopTokens: Uint32Array;
  /** GBNF. */
  readonly grammar: string | undefined;
  /** undefined: none. */
  readonly topLogprobs: number | undefined;
  /** The prompts' log-probabilities too, with as many most likely tokens; only with `topLogprobs`. */
  readonly promptLogprobs: boolean;
  readonly cacheSalt: string;
  readonly priority: number;
  /** Instance to run on; without it the router mode decides. */
  readonly pinnedWorker: bigint | undefined;
  readonly deadlineMs: number | undefined;
  readonly traceparent: string | undefined;
  readonly pooling: "mean" | "last" | "cls" | undefined;
  readonly normalize: boolean;
}

/** Log-probabilities beside delivered tokens, or of a part of a prompt: `chosen` has one per token, `top*` the same number for each token. Borrowed. */
export interface ServingLogprobs {
  readonly chosen: Float32Array;
  readonly topTokens: Uint32Array;
  readonly topValues: Float32Array;
}

/** How one choice ended. */
export interface ChoiceEnd {
  readonly reason: "end" | "stop_token" | "length" | "cancelled" | "done";
  readonly stopToken: number | undefined;
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

/** Who receives an answer. After one `onDone`, which follows the last choice's `onEnd`, or one `onError`, nothing more comes. */
export interface ServingSink {
  onPlaced(placement: Placement): void;
  /** Tokens of one choice in order, over all attempts; borrowed for the call. */
  onTokens(choice: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void;
  /** Log-probabilities of a choice's prompt from `position` on: in order, each once, before its first token. Borrowed. */
  onPromptLogprobs?(choice: number, position: number, logprobs: ServingLogprobs): void;
  onEmbedding(choice: number, values: Float32Array): void;
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
   * This choice is complete with its first `tokens` tokens, such as by a stop string; those behind it do not count. Its
   * worker is stopped, and nothing more of it is told but its onEnd with reason cancelled.
   */
  finishChoice(choice: number, tokens: number): void;
}

/**
 * Starts requests. The sink hears all that follows, from the end of this turn on: MODEL_NOT_FOUND, MODEL_LOADING,
 * WORKER_NOT_FOUND, DRAINING or OVERLOADED too, and NO_WORKERS, perhaps after a wait for one. Never throws.
 */
export interface Dispatcher {
  start(request: ServingRequest, sink: ServingSink): ServingHandle;
}
