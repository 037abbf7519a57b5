import type { AskInput } from "#lib/serving/ask";
import type { ServedModel } from "../models/served.ts";
import type { Conversation } from "../read/reader.ts";
import { checkTokens, tooLong } from "./fit.ts";

/** Units of texts that are looked at in one turn, together; beyond, the cache does not take part. */
const MOST_UNITS = 131_072;

/**
 * Token ids of an input: a conversation is rendered first, ids stay what they are. Throws, by the name of the `field` that
 * gave it, what cannot fit and ids that the model does not have; and what rendering throws.
 */
export async function encode(
  input: AskInput<Conversation>,
  model: ServedModel,
  field: string,
): Promise<readonly Uint32Array[]> {
  const { text } = model;
  switch (input.kind) {
    case "messages": {
      const prompt = await input.messages.render(text);
      checkFits(prompt.parts?.reduce((sum, { length }) => sum + length, 0) ?? prompt.text.length, model, field);
      return [await text.encodePrompt(prompt)];
    }
    case "tokens": {
      const { prompts } = input;
      for (const { length } of prompts) if (length > model.contextTokens) throw tooLong(length, model, field);
      for (const prompt of prompts) checkTokens(prompt, text.vocabularySize, field);
      return prompts;
    }
    case "text": {
      const { texts } = input;
      for (const { length } of texts) checkFits(length, model, field);
      const units = texts.reduce((sum, { length }) => sum + length, 0);
      const given = units > MOST_UNITS ? texts.map((one) => (typeof one === "string" ? Buffer.from(one) : one)) : texts;
      return await Promise.all(given.map(async (one) => text.encodeText(one)));
    }
  }
}

/** Throws CONTEXT_LENGTH for a text that is too long whatever its tokens: those it never comes to cost nothing. */
function checkFits(length: number, model: ServedModel, field: string): void {
  const least = model.text.leastTokens(length);
  if (least > model.contextTokens) throw tooLong(`at least ${least}`, model, field);
}
