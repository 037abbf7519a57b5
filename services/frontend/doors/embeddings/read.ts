import { parseBody } from "#lib/api/json-body";
import { checkEmbedding } from "#lib/api/openai/embedding-fields";
import { GREEDY } from "#lib/tokens/sampling";
import type { DoorAsk, DoorReader } from "../door.ts";
import { readInput, readPlacement } from "../openai/ask.ts";
import { PLAIN_ASK, PLAIN_ASKED } from "../plain.ts";

/** How an embedding is written. */
export interface EmbeddingForm {
  /** As base64 of f32 little endian, or as numbers. */
  readonly base64: boolean;
}

/** Reads POST /v1/embeddings. */
export const reader: DoorReader<EmbeddingForm> = {
  module: import.meta.url,
  read(bytes, bounds) {
    const { body, ignored } = checkEmbedding(parseBody(bytes, bounds));
    const ask: DoorAsk = {
      ...PLAIN_ASK,
      kind: "embed",
      model: body.model,
      input: readInput(body.input),
      sampling: GREEDY,
      cacheSalt: body.cache_salt ?? "",
      priority: body.priority ?? 0,
      ...readPlacement(body),
    };
    const form = { base64: body.encoding_format === "base64" };
    return { ...PLAIN_ASKED, ask, ignored, form, dimensions: body.dimensions ?? undefined };
  },
};
