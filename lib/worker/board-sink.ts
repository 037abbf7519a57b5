import type { StatorError } from "#lib/base/errors";
import type {
  EngineFinish,
  EngineLogprobs,
  EnginePromptLogprobs,
  EngineRequest,
  StepMetrics,
} from "#lib/engines/engine";

/**
 * Who receives what an engine makes for a group of requests, such as all requests of one link. Within one engine step
 * calls come in this order: log-probabilities of prompts, entries, log-probabilities, texts, embeddings, finishes, and then one `endStep`. Each request gets
 * exactly one `onFinish`. A call that throws ends the request that it was about as failed, and nobody else's.
 */
export interface BoardSink {
  /** Tokens of one request; borrowed for the call. `key` is what the sink gave at submit. */
  onTokens(key: number, tokens: Uint32Array): void;
  /** Beside tokens of the same step. Borrowed for the call. */
  onLogprobs(key: number, logprobs: EngineLogprobs): void;
  /** For a sink whose requests ask for those of prompts. */
  onPromptLogprobs?(key: number, logprobs: EnginePromptLogprobs): void;
  /** The next piece of an answer; for a sink whose requests go to an engine of text. */
  onText?(key: number, text: string): void;
  /** The vector of a request. Borrowed for the call. */
  onEmbedding(key: number, values: Float32Array): void;
  /** The last call about a request. */
  onFinish(key: number, finish: EngineFinish): void;
  /**
   * In place of `onFinish`, for a request that the engine refused after it was submitted: certainly not executed. A sink
   * without it hears of a request that failed.
   */
  onRefused?(key: number, error: StatorError): void;
  /** The step is complete; called for sinks that got something from it. */
  endStep(metrics: StepMetrics): void;
}

/** Who waits for a preparation. One of the two is called, once, and not from inside `begin`. */
export interface PreparationListener {
  /** The engine can be asked now. `make` builds the request with the id that it got. */
  onReady(make: (id: number) => EngineRequest): void;
  /** It cannot be asked: the request ends so. */
  onFailed(error: StatorError): void;
}

/** What is done for a request before the engine is asked, such as bringing its blocks from elsewhere. */
export interface Preparation {
  /** Starts it. What it returns ends it at once; then `onFailed` tells so. */
  begin(listener: PreparationListener): () => void;
}

/** A request as its sink states it. */
export interface BoardRequest {
  /** Name in logs and traces. */
  readonly requestId: string;
  /** The caller's trace context; undefined or malformed begins a trace of its own. */
  readonly traceparent: string | undefined;
  /** What it does of an answer, for traces. Absent: all of it. */
  readonly part?: "prefill" | "decode";
  /** Builds it with the id that it gets, or says what comes before. */
  readonly make: ((id: number) => EngineRequest) | Preparation;
}
