import { parseBody } from "#lib/api/json-body";
import { checkCompletion } from "#lib/api/openai/completion-fields";
import type { DoorReader } from "../door.ts";
import { answerAs, type OpenAiForm, readGeneration, readInput } from "../openai/ask.ts";

/** Reads POST /v1/completions. */
export const reader: DoorReader<OpenAiForm> = {
  module: import.meta.url,
  read(bytes, bounds) {
    const { body, ignored } = checkCompletion(parseBody(bytes, bounds));
    const topLogprobs = body.logprobs ?? undefined;
    const echo = body.echo ?? false;
    const ask = readGeneration(body, {
      input: readInput(body.prompt),
      topLogprobs,
      promptLogprobs: echo && topLogprobs !== undefined,
      // A worker draws at least one token.
      maxTokens: Math.max(1, body.max_tokens ?? 16),
    });
    return { ...answerAs(body, ask, ignored), echo, promptOnly: body.max_tokens === 0 };
  },
};
