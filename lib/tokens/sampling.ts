import { StatorError } from "#lib/base/errors";
import {
  ANSWER_RANGES,
  type DefaultSampling,
  describeRange,
  fitsRange,
  type NumberRange,
  SAMPLING_RANGES,
} from "#lib/base/sampling";

/** How tokens are drawn. Fields as in stator.worker.v1.Sampling; absent values are already filled in. */
export interface SamplingOptions {
  /** 0 takes the most likely token. At most 2. */
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  /** 1 keeps all. */
  readonly topP: number;
  /** 0 drops none. */
  readonly minP: number;
  /** 1 changes nothing. */
  readonly repetitionPenalty: number;
  /** Subtracted for each time that a token is in the answer. -2 to 2. */
  readonly frequencyPenalty: number;
  /** Subtracted once for a token that is in the answer. -2 to 2. */
  readonly presencePenalty: number;
  /** The draw at a position depends on seed, choice and position alone. */
  readonly seed: bigint;
  /** Token ids whose logits are changed. */
  readonly biasTokens: Uint32Array;
  /** What is added to each, as many as there are ids. -100 to 100. */
  readonly biasValues: Float32Array;
}

/** When an answer ends, by its tokens. */
export interface StoppingOptions {
  /** Tokens of the whole answer, earlier attempts included. */
  readonly maxTokens: number;
  /** End tokens are not drawn before so many tokens. */
  readonly minTokens: number;
  /** End tokens are ordinary tokens. */
  readonly ignoreEos: boolean;
  /** Further tokens that end the answer. */
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

/** How tokens are to be drawn, as far as a request says it. */
export type AskedSampling = { readonly [Option in keyof SamplingOptions]: SamplingOptions[Option] | undefined };

/** A request that says nothing of it. */
export const UNSAID: AskedSampling = {
  temperature: undefined,
  topK: undefined,
  topP: undefined,
  minP: undefined,
  repetitionPenalty: undefined,
  frequencyPenalty: undefined,
  presencePenalty: undefined,
  seed: undefined,
  biasTokens: undefined,
  biasValues: undefined,
};

/** What a request says, then what is usual with its model, then the API's defaults. `drawSeed` is called when it names no seed. */
export function fillSampling(asked: AskedSampling, usual: DefaultSampling, drawSeed: () => bigint): SamplingOptions {
  const topK = asked.topK ?? usual.top_k ?? 0;
  return {
    temperature: asked.temperature ?? usual.temperature ?? 1,
    topK: topK === -1 ? 0 : topK,
    topP: asked.topP ?? usual.top_p ?? 1,
    minP: asked.minP ?? usual.min_p ?? 0,
    repetitionPenalty: asked.repetitionPenalty ?? usual.repetition_penalty ?? 1,
    frequencyPenalty: asked.frequencyPenalty ?? usual.frequency_penalty ?? 0,
    presencePenalty: asked.presencePenalty ?? usual.presence_penalty ?? 0,
    seed: asked.seed ?? drawSeed(),
    biasTokens: asked.biasTokens ?? GREEDY.biasTokens,
    biasValues: asked.biasValues ?? GREEDY.biasValues,
  };
}

/** The option that holds each setting. */
const OPTIONS = {
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
  repetition_penalty: "repetitionPenalty",
  frequency_penalty: "frequencyPenalty",
  presence_penalty: "presencePenalty",
} as const satisfies Readonly<Record<keyof typeof SAMPLING_RANGES, keyof SamplingOptions>>;

/** Refuses a number out of its range with INVALID_ARGUMENT, by the name of its field. */
export function within(field: string, value: number, range: NumberRange): number {
  if (fitsRange(range, value)) return value;
  throw new StatorError("INVALID_ARGUMENT", { detail: `${field}: expected ${describeRange(range)}, got ${value}` });
}

/** The same options, when a draw by them has a meaning. Throws INVALID_ARGUMENT by the name of the first field that has none. */
export function checkSampling(sampling: SamplingOptions): SamplingOptions {
  const { biasTokens, biasValues } = sampling;
  if (biasTokens.length !== biasValues.length) {
    throw new StatorError("INVALID_ARGUMENT", { detail: "bias_values: expected one value for each of bias_token_ids" });
  }
  for (const value of biasValues) within("bias_values", value, ANSWER_RANGES.bias);
  for (const [name, range] of Object.entries(SAMPLING_RANGES)) {
    within(name, sampling[OPTIONS[name as keyof typeof OPTIONS]], range);
  }
  return sampling;
}
