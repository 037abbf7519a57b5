import { EMBEDDING_ROUTE } from "#lib/api/routes";
import type { HttpDoor } from "../door.ts";
import { OPENAI_WORDS } from "../openai/ask.ts";
import { printOpenAiError } from "../openai/error.ts";
import { printers } from "./print.ts";
import { type EmbeddingForm, reader } from "./read.ts";

/** POST /v1/embeddings. */
export const EMBEDDINGS: HttpDoor<EmbeddingForm> = {
  name: "embeddings",
  words: { ...OPENAI_WORDS, input: "input" },
  api: EMBEDDING_ROUTE,
  reader,
  printers,
  printError: printOpenAiError,
};
