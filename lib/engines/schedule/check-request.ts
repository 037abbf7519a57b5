import { StatorError } from "#lib/base/errors";
import { ANSWER_RANGES } from "#lib/base/sampling";
import { checkSampling } from "#lib/tokens/sampling";
import type { EngineRequest } from "../engine.ts";

/** What a request is measured against. */
export interface RequestLimits {
  /** For error sentences. */
  readonly model: string;
  /** Prompt and answer together; for an embedding: of one input. */
  readonly contextTokens: number;
  /** Token ids are below it. */
  readonly vocabularySize: number;
}

/** Ids are of 32 bits: nothing is to be checked of a vocabulary that has them all. */
const MOST_IDS = 0xffff_ffff;

function refuse(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}

function checkTokens(tokens: Uint32Array, limits: RequestLimits, what: string): void {
  if (limits.vocabularySize > MOST_IDS) return;
  for (const token of tokens) {
    if (token >= limits.vocabularySize) {
      throw refuse(
        `${what} holds the id ${token}; the vocabulary of ${limits.model} ends at ${limits.vocabularySize - 1}`,
      );
    }
  }
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
  // An engine may trust its bounds: beyond them a draw has no meaning.
  checkSampling(request.sampling);
  if (request.stopping.maxTokens < ANSWER_RANGES.max_tokens.least) throw refuse("An answer has at least one token");
}
