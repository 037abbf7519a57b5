import { StatorError } from "#lib/base/errors";
import type { ModelText } from "../text/model-text.ts";

const NO_BYTES = new Uint8Array(0);

/** Something needs the tokenizer or the template of a model that only its workers have. */
export function onlyThere(feature: string): StatorError {
  const detail = "only the workers of this model have its tokenizer and template";
  return new StatorError("UNSUPPORTED_FEATURE", { feature, detail });
}

function refuse(): never {
  throw onlyThere("Chat");
}

/** The text of a model whose workers take text and answer with text: nothing of it is made here. */
export const WORKER_TEXT: ModelText = {
  vocabularySize: 0,
  template: refuse,
  renderChat: refuse,
  readsVariable: () => true,
  encodePrompt: refuse,
  encodeText: refuse,
  leastTokens: () => 0,
  createDecoder: () => ({ push: () => "", end: () => "", length: 0 }),
  piece: () => NO_BYTES,
  close() {},
};
