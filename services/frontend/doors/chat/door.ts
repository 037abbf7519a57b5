import { CHAT_ROUTE } from "#lib/api/routes";
import type { HttpDoor } from "../door.ts";
import { OPENAI_WORDS, type OpenAiForm } from "../openai/ask.ts";
import { printOpenAiError } from "../openai/error.ts";
import { printers } from "./print.ts";
import { reader } from "./read.ts";

/** POST /v1/chat/completions. */
export const CHAT: HttpDoor<OpenAiForm> = {
  name: "chat",
  words: { ...OPENAI_WORDS, input: "messages" },
  api: CHAT_ROUTE,
  reader,
  printers,
  printError: printOpenAiError,
};
