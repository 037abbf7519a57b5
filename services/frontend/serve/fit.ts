import { StatorError } from "#lib/base/errors";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import type { ServedModel } from "../models/served.ts";

/** Throws UNSUPPORTED_FEATURE with the engine's own reason. */
export function requireFeature(
  features: ModelFeatures,
  feature: "generate" | "embed" | "grammar" | "logprobs" | "promptLogprobs",
  name: string,
): void {
  if (features[feature]) return;
  throw new StatorError("UNSUPPORTED_FEATURE", {
    feature: name,
    detail: features.missing[feature] ?? "the engine of this model cannot do it",
  });
}

/** Throws when a token id is not in the vocabulary. */
export function checkTokens(tokens: Uint32Array, vocabularySize: number, field: string): void {
  for (const token of tokens) {
    if (token < vocabularySize) continue;
    const detail = `has the token ${token}; the model has ${vocabularySize} tokens`;
    throw new StatorError("INVALID_FIELD", { field, detail }, { param: field });
  }
}

/** Throws for a prompt without tokens, or without text. */
export function checkNotEmpty(prompt: Uint32Array | Uint8Array | string, field: string): void {
  if (prompt.length > 0) return;
  throw new StatorError("INVALID_FIELD", { field, detail: "has no tokens" }, { param: field });
}

/** CONTEXT_LENGTH for what a field gives. */
export function tooLong(promptTokens: number | string, model: ServedModel, param: string): StatorError {
  const { name, contextTokens } = model;
  return new StatorError("CONTEXT_LENGTH", { promptTokens, model: name, contextTokens }, { param });
}
