import { printChatBody } from "#lib/api/openai/bodies";
import { createChatChunks } from "#lib/api/openai/chunks";
import { printChatLogprobs } from "#lib/api/openai/logprobs";
import { createOpenAiPrinters } from "../openai/answer.ts";

/** Prints the answers of POST /v1/chat/completions. */
export const printers = createOpenAiPrinters({
  prefix: "chatcmpl",
  chunks: createChatChunks,
  body: printChatBody,
  scores: () => ({ prompt() {}, print: (_, tokens) => printChatLogprobs(tokens) }),
});
