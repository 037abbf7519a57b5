import { parseBody } from "#lib/api/json-body";
import { checkChat } from "#lib/api/openai/chat-fields";
import type { DoorReader } from "../door.ts";
import { answerAs, type OpenAiForm, readGeneration } from "../openai/ask.ts";
import { templateConversation } from "./messages.ts";

/** Reads POST /v1/chat/completions. */
export const reader: DoorReader<OpenAiForm> = {
  module: import.meta.url,
  read(bytes, bounds) {
    const { body, ignored } = checkChat(parseBody(bytes, bounds));
    const ask = readGeneration(body, {
      input: { kind: "messages", messages: templateConversation(body, bytes) },
      topLogprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
      promptLogprobs: false,
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
    });
    return answerAs(body, ask, ignored);
  },
};
