import { StatorError } from "#lib/base/errors";
import type { DefaultSampling } from "#lib/base/sampling";
import type { SamplingOptions } from "#lib/tokens/sampling";

/** The fields of a request about drawing; chat and completions share them. */
export interface SamplingBody {
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly top_k?: number | null;
  readonly min_p?: number | null;
  readonly repetition_penalty?: number | null;
  readonly frequency_penalty?: number | null;
  readonly presence_penalty?: number | null;
  readonly seed?: number | bigint | null;
  readonly logit_bias?: Readonly<Record<string, number>> | null;
}

const NO_TOKENS = new Uint32Array(0);
const NO_VALUES = new Float32Array(0);

/** What fills in the fields that a request leaves out. */
export interface SamplingDefaults {
  /** The model's own; the API's where it has none. */
  readonly defaultSampling: DefaultSampling;
  /** Asked only when the request has no seed. */
  readonly drawSeed: () => bigint;
}

/** How tokens are drawn, every default filled in. Whether the model has the biased tokens is not looked at. */
export function createSampling(body: SamplingBody, defaults: SamplingDefaults): SamplingOptions {
  const { defaultSampling: usual, drawSeed } = defaults;
  const { seed, logit_bias: bias } = body;
  const ids = bias ? Object.keys(bias) : [];
  // Nothing of the sum is asked for: the likeliest token alone has part in it.
  const likeliest = body.top_p === 0;
  const biasTokens = ids.length > 0 ? Uint32Array.from(ids, Number) : NO_TOKENS;
  return {
    temperature: body.temperature ?? usual.temperature ?? 1,
    topK: likeliest ? 1 : Math.max(0, body.top_k ?? usual.top_k ?? 0),
    topP: likeliest ? 1 : (body.top_p ?? usual.top_p ?? 1),
    minP: body.min_p ?? usual.min_p ?? 0,
    repetitionPenalty: body.repetition_penalty ?? usual.repetition_penalty ?? 1,
    frequencyPenalty: body.frequency_penalty ?? usual.frequency_penalty ?? 0,
    presencePenalty: body.presence_penalty ?? usual.presence_penalty ?? 0,
    seed: seed === undefined || seed === null ? drawSeed() : BigInt.asUintN(64, BigInt(seed)),
    biasTokens,
    biasValues: bias && ids.length > 0 ? Float32Array.from(ids, (id) => bias[id]!) : NO_VALUES,
  };
}

/** Throws when a token id is not in the vocabulary. */
export function checkTokens(tokens: Uint32Array, vocabularySize: number, field: string): void {
  for (const token of tokens) {
    if (token < vocabularySize) continue;
    const detail = `has the token ${token}; the model has ${vocabularySize} tokens`;
    throw new StatorError("INVALID_FIELD", { field, detail }, { param: field });
  }
}
