import { parseBody } from "#lib/api/json-body";
import { checkEmbedding } from "#lib/api/openai/embedding-fields";
import { GREEDY } from "#lib/tokens/sampling";
import { type DoorReader, PLAIN_ASKED } from "../door.ts";
import { OPENAI_WORDS, readInput, readPlacement } from "../openai/ask.ts";

/** How an embedding is written: as base64 of f32 little endian, or as numbers. */
export interface EmbeddingForm {
  readonly base64: boolean;
}

const NOTHING_DRAWN = {
  maxTokens: 1,
  minTokens: 0,
  ignoreEos: false,
  stopTokens: new Uint32Array(0),
  stopTexts: [],
  includeStop: false,
} as const;

/** Reads POST /v1/embeddings. */
export const reader: DoorReader<EmbeddingForm> = {
  module: import.meta.url,
  words: { ...OPENAI_WORDS, input: "input" },
  read(bytes, bounds) {
    const { body, ignored } = checkEmbedding(parseBody(bytes, bounds));
    const ask = {
      kind: "embed",
      model: body.model,
      input: readInput(body.input),
      choicesPerPrompt: 1,
      sampling: GREEDY,
      stopping: NOTHING_DRAWN,
      guidance: undefined,
      topLogprobs: undefined,
      promptLogprobs: false,
      ...readPlacement(body),
      pooling: undefined,
      normalize: true,
    } as const;
    const form = { base64: body.encoding_format === "base64" };
    return { ...PLAIN_ASKED, ask, ignored, form, dimensions: body.dimensions ?? undefined };
  },
};
