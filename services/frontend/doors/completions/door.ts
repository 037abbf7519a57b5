import { COMPLETION_ROUTE } from "#lib/api/routes";
import type { HttpDoor } from "../door.ts";
import { OPENAI_WORDS, type OpenAiForm } from "../openai/ask.ts";
import { printOpenAiError } from "../openai/error.ts";
import { printers } from "./print.ts";
import { reader } from "./read.ts";

/** POST /v1/completions. */
export const COMPLETIONS: HttpDoor<OpenAiForm> = {
  name: "completions",
  words: { ...OPENAI_WORDS, input: "prompt" },
  api: COMPLETION_ROUTE,
  reader,
  printers,
  printError: printOpenAiError,
};
