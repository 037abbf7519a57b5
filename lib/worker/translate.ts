import { Pooling, type Sampling, type Stopping, type Submit } from "#gen/stator/worker/v1/link_pb";
import { readF32, readU32 } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import { ANSWER_RANGES } from "#lib/base/sampling";
import type { EmbedRequest, GenerateRequest } from "#lib/engines/engine";
import { HAND_OFF_FEATURES, LINK_FEATURES } from "#lib/link/features";
import { readGuidance } from "#lib/link/guidance";
import { checkSampling, GREEDY, type SamplingOptions, type StoppingOptions, within } from "#lib/tokens/sampling";
import type { HandOff } from "./handoff/hand-off.ts";

/** Optional features of a link that a worker has: those of the link, and none that an engine would have to have. */
export const WORKER_FEATURES: readonly string[] = Object.values(LINK_FEATURES);

const LEG_FEATURES: readonly string[] = [...WORKER_FEATURES, ...Object.values(HAND_OFF_FEATURES)];

/** Those of a worker as it is: with legs of answers where the blocks of its engine can move. */
export function featuresOf(handOff: HandOff | undefined): readonly string[] {
  return handOff ? LEG_FEATURES : WORKER_FEATURES;
}

/** What a worker knows about the model names that it answers. */
export interface ModelNames {
  /** Served name of the base model. */
  readonly model: string;
  /** Whether an adapter of this name is loaded. */
  hasAdapter(name: string): boolean;
}

/** The adapter that a model name means: undefined for the base model. Throws MODEL_NOT_FOUND. */
export function adapterOf(name: string, names: ModelNames): string | undefined {
  if (name === names.model) return undefined;
  if (names.hasAdapter(name)) return name;
  throw new StatorError("MODEL_NOT_FOUND", { model: name });
}

/** A generate request from its frame. Copies what outlives the message. Throws INVALID_ARGUMENT on what cannot be. */
export function generateRequest(
  id: number,
  submit: Submit,
  promptTokens: Uint32Array,
  names: ModelNames,
): GenerateRequest {
  return {
    kind: "generate",
    id,
    promptTokens,
    generatedTokens: readU32(submit.generatedTokenIds, "generated_token_ids").slice(),
    choice: submit.choice,
    sampling: samplingOptions(submit.sampling),
    stopping: stoppingOptions(submit.stopping),
    guidance: submit.guidance && readGuidance(submit.guidance),
    topLogprobs: submit.outputs?.logprobs
      ? within("top_logprobs", submit.outputs.topLogprobs, ANSWER_RANGES.top_logprobs)
      : undefined,
    promptLogprobs: (submit.outputs?.logprobs && submit.outputs.promptLogprobs) ?? false,
    adapter: adapterOf(submit.model, names),
    cacheSalt: submit.cacheSalt,
    priority: submit.priority,
  };
}

/** An embed request from its frame. Embeddings are the base model's: an adapter is refused with UNSUPPORTED_FEATURE. */
export function embedRequest(id: number, submit: Submit, promptTokens: Uint32Array, names: ModelNames): EmbedRequest {
  if (adapterOf(submit.model, names) !== undefined) {
    const detail = `${submit.model} is an adapter, and adapters make no embeddings here`;
    throw new StatorError("UNSUPPORTED_FEATURE", { feature: "Embedding", detail });
  }
  const named: Partial<Record<number, EmbedRequest["pooling"]>> = {
    [Pooling.MEAN]: "mean",
    [Pooling.LAST]: "last",
    [Pooling.CLS]: "cls",
  };
  return {
    kind: "embed",
    id,
    promptTokens,
    pooling: named[submit.embedding?.pooling ?? Pooling.UNSPECIFIED],
    normalize: !submit.embedding?.unnormalized,
  };
}

/** Sampling with every default filled in, from the wire form. */
export function samplingOptions(sampling: Sampling | undefined): SamplingOptions {
  if (!sampling) return GREEDY;
  return checkSampling({
    temperature: sampling.temperature,
    topK: sampling.topK,
    topP: sampling.topP ?? 1,
    minP: sampling.minP,
    repetitionPenalty: sampling.repetitionPenalty ?? 1,
    frequencyPenalty: sampling.frequencyPenalty,
    presencePenalty: sampling.presencePenalty,
    seed: sampling.seed,
    biasTokens: readU32(sampling.biasTokenIds, "bias_token_ids").slice(),
    biasValues: readF32(sampling.biasValues, "bias_values").slice(),
  });
}

function stoppingOptions(stopping: Stopping | undefined): StoppingOptions {
  const maxTokens = stopping?.maxTokens ?? 0;
  const { least } = ANSWER_RANGES.max_tokens;
  if (maxTokens < least)
    throw new StatorError("INVALID_ARGUMENT", { detail: `max_tokens: expected at least ${least}` });
  return {
    maxTokens,
    minTokens: stopping?.minTokens ?? 0,
    ignoreEos: stopping?.ignoreEos ?? false,
    stopTokens: readU32(stopping?.stopTokenIds ?? new Uint8Array(0), "stop_token_ids").slice(),
  };
}
