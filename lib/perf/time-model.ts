/**
 * What is known of a worker's speed before it was seen: how long a pass takes, as a sum. Milliseconds, at least 0; what
 * nobody knows is 0. The fit of a real GPU that the mock uses is one of these, and so is what an engine measures when it
 * loads. `passMsOf` says what they add up to.
 */
export interface TimePrior {
  /** Of every pass. */
  readonly passMs: number;
  /** Of a pass that computes any prompt token. */
  readonly prefillMs: number;
  /** For each prompt token of a pass. */
  readonly prefillTokenMs: number;
  /** For the square of the prompt tokens of a pass. */
  readonly prefillSquareMs: number;
  /** For each token of context that prompt tokens attend to: the sum over the prompt tokens' requests, as in a step record. */
  readonly prefillContextMs: number;
  /** Of a pass in which any sequence decodes. */
  readonly decodeMs: number;
  /** For each sequence that decodes. */
  readonly decodeSequenceMs: number;
  /** For each token of their contexts. */
  readonly decodeContextMs: number;
  /** For the share of the KV pool that all contexts of the pass fill, 0 to 1, in a pass in which any sequence decodes. */
  readonly decodeFillMs: number;
  /** For its square; it may be negative as long as decoding never is. */
  readonly decodeFillSquareMs: number;
  /** What decoding adds at least to a pass in which any sequence decodes. */
  readonly decodeLeastMs: number;
  /** Tokens that a pass computes at most, those of sequences that decode among them; at least 1. */
  readonly passTokens: number;
}

/** What a pass computes. */
export interface PassShape {
  /** Prompt tokens. */
  readonly prefillTokens: number;
  /** Tokens of context that they attend to, as in a step record. */
  readonly prefillContextTokens: number;
  /** Sequences that decode. */
  readonly decodeSequences: number;
  /** Tokens of their contexts. */
  readonly decodeContextTokens: number;
  /** Tokens that the KV pool holds; 0 where nobody knows: it counts as full then. */
  readonly poolTokens: number;
}

/** What was seen of one pass: as much of a step record of `stator.worker.v1` as times and loads are read from. */
export interface PassRecord {
  /** Data-parallel rank. */
  readonly rank: number;
  /** From its start to its end; 0 when nothing was computed. */
  readonly durationUs: number;
  /** As in PassShape. */
  readonly prefillTokens: number;
  /** As in PassShape. */
  readonly prefillContextTokens: number;
  /** As in PassShape. */
  readonly decodeSequences: number;
  /** As in PassShape. */
  readonly decodeContextTokens: number;
  /** Blocks in use by requests after it. */
  readonly usedBlocks: number;
  /** Blocks of the pool; 0 where nobody knows. */
  readonly totalBlocks: number;
  /** Requests that run after it. */
  readonly runningRequests: number;
  /** Requests that wait after it. */
  readonly waitingRequests: number;
  /** Their tokens that are to be computed. */
  readonly waitingTokens: number;
  /** As much is kept for other workers as may be; absent where nobody says. */
  readonly sessionsFull?: boolean;
  /** Passes before this one that were joined to it: times, tokens and sequences are sums over all, levels the last one's. */
  readonly mergedSteps: number;
}

/** How long passes of one worker take, as far as is known now. */
export interface TimeModel {
  /** Predicted milliseconds of one pass. */
  passMs(shape: PassShape): number;
  /** Tokens that a pass computes at most, those of sequences that decode among them; at least 1. */
  readonly passTokens: number;
  /** Seen ÷ prior, over what was learned from lately; 1 before anything was, and where there is no prior to compare with. */
  readonly factor: number;
  /** Passes that were learned from; 0 says that this is the prior. */
  readonly passes: number;
  /** Nobody stated a prior: times are in units of nothing while `passes` is 0. */
  readonly isGuess: boolean;
}
