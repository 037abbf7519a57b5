/** What a frontend bounds. Times in milliseconds. */
export interface FrontendLimits {
  /** Longest request body; beyond it a request gets 413. */
  readonly bodyBytes: number;
  /** All bodies that are in memory at one time; beyond it a request gets 429. */
  readonly allBodiesBytes: number;
  /** Requests that are answered side by side; beyond it a request gets 429. */
  readonly concurrentRequests: number;
  /** Open connections; further ones are closed at once. */
  readonly connections: number;
  /** Time in which the header of a request has to arrive. */
  readonly headersMs: number;
  /** Time in which a whole request has to arrive. */
  readonly requestMs: number;
  /** How long a connection may stay idle between requests. */
  readonly keepAliveMs: number;
  /** A stream that was quiet for this long gets a comment. */
  readonly pingMs: number;
  /** A reader that does not take what waits for it in this long (and a second for each 4 KiB) is ended with SLOW_CLIENT. */
  readonly slowClientMs: number;
  /** Tokens of one choice that join into one event while the socket or the loop lags. */
  readonly joinTokens: number;
  /** Tokens join also while nothing lags: fewer writes, later tokens. */
  readonly alwaysJoin: boolean;
  /** How long a token waits for others to join it. */
  readonly joinMs: number;
  /** How long a request waits for a model that loads, before it gets 503; 0 never waits. */
  readonly loadingMs: number;
  /** Requests that wait so; a further one gets 503 at once. */
  readonly loadingRequests: number;
  /** Calls of ModelStreamInfer side by side; beyond it one gets RESOURCE_EXHAUSTED. */
  readonly streams: number;
  /** Requests side by side on one of them; what follows on it waits. */
  readonly streamRequests: number;
  /** Tokens of prompts whose log-probabilities one request may ask for, over all its choices. */
  readonly scoredTokens: number;
  /** Bytes of tokenizers and templates that are kept beside the texts that were opened from them; a larger one is fetched again when it is needed again. */
  readonly artifactBytes: number;
}

/** The limits when nothing else is asked for. */
export const DEFAULT_LIMITS: FrontendLimits = {
  bodyBytes: 8 * 1024 * 1024,
  allBodiesBytes: 256 * 1024 * 1024,
  concurrentRequests: 4096,
  connections: 10_000,
  headersMs: 10_000,
  requestMs: 60_000,
  keepAliveMs: 75_000,
  pingMs: 15_000,
  slowClientMs: 60_000,
  joinTokens: 8,
  alwaysJoin: false,
  joinMs: 25,
  loadingMs: 60_000,
  loadingRequests: 1024,
  streams: 10_000,
  streamRequests: 1024,
  scoredTokens: 32_768,
  artifactBytes: 4 * 1024 * 1024,
};
