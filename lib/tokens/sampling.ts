/** How tokens are drawn. Fields as in stator.worker.v1.Sampling; absent values are already filled in. */
export interface SamplingOptions {
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  /** 1 keeps all. */
  readonly topP: number;
  /** 0 drops none. */
  readonly minP: number;
  /** 1 changes nothing. */
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  /** The draw at a position depends on seed, choice and position alone. */
  readonly seed: bigint;
  readonly biasTokens: Uint32Array;
  readonly biasValues: Float32Array;
}

/** When an answer ends, by its tokens. */
export interface StoppingOptions {
  /** Tokens of the whole answer, earlier attempts included. */
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stopTokens: Uint32Array;
}

/** Sampling that draws the most likely token and changes nothing. */
export const GREEDY: SamplingOptions = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  seed: 0n,
  biasTokens: new Uint32Array(0),
  biasValues: new Float32Array(0),
};
