import { StatorError } from "#lib/base/errors";
import type { SamplingOptions } from "#lib/tokens/sampling";
import type { EngineRequest } from "../engine.ts";

/** What a request is measured against. */
export interface RequestLimits {
  readonly model: string;
  readonly contextTokens: number;
  /** Token ids are below it. */
  readonly vocabularySize: number;
}

function refuse(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}

function checkTokens(tokens: Uint32Array, limits: RequestLimits, what: string): void {
  for (const token of tokens) {
    if (token >= limits.vocabularySize) {
      throw refuse(
        `${what} holds the id ${token}; the vocabulary of ${limits.model} ends at ${limits.vocabularySize - 1}`,
      );
    }
  }
}

/** An engine may trust these bounds: beyond them a draw has no meaning. */
function checkSampling(sampling: SamplingOptions): void {
  const { temperature, topP, minP, repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
  if (!(temperature >= 0 && Number.isFinite(temperature))) throw refuse("The temperature is 0 or more");
  if (!(topP > 0 && topP <= 1)) throw refuse("top_p is above 0 and at most 1");
  if (!(minP >= 0 && minP <= 1)) throw refuse("min_p lies from 0 to 1");
  if (!(repetitionPenalty > 0 && Number.isFinite(repetitionPenalty))) throw refuse("The repetition penalty is above 0");
  if (!Number.isFinite(frequencyPenalty + presencePenalty)) throw refuse("A penalty is a number");
  if (sampling.biasTokens.length !== sampling.biasValues.length)
    throw refuse("Every logit bias has a token and a value");
  if (sampling.biasValues.some(Number.isNaN)) throw refuse("A logit bias is a number");
}

/**
 * Throws what is wrong with a request whatever the engine: INVALID_ARGUMENT for token ids that do not exist, an empty prompt
 * and settings without meaning, CONTEXT_LENGTH when there is no room for one token of an answer (for an embedding: for the input itself).
 */
export function checkRequest(request: EngineRequest, limits: RequestLimits): void {
  const promptTokens = request.promptTokens.length;
  if (promptTokens === 0) throw refuse("The prompt has no tokens");
  checkTokens(request.promptTokens, limits, "The prompt");
  const { model, contextTokens } = limits;
  if (request.kind === "embed") {
    if (promptTokens > contextTokens) throw new StatorError("CONTEXT_LENGTH", { promptTokens, contextTokens, model });
    return;
  }
  if (promptTokens >= contextTokens) throw new StatorError("CONTEXT_LENGTH", { promptTokens, contextTokens, model });
  checkTokens(request.generatedTokens, limits, "The tokens generated so far");
  checkTokens(request.stopping.stopTokens, limits, "The list of stop tokens");
  checkTokens(request.sampling.biasTokens, limits, "The logit bias");
  checkSampling(request.sampling);
  if (request.stopping.maxTokens < 1) throw refuse("An answer has at least one token");
}
