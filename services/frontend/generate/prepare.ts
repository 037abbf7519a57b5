import { StatorError } from "#lib/base/errors";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import type { Ask, AskInput, ReadyAsk, TextInput, TokenInput } from "#lib/serving/ask";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { ServedModel } from "../models/served.ts";
import type { Inputs } from "../read/requests.ts";
import type { ModelText } from "../text/model-text.ts";
import { checkTokens } from "./sampling.ts";

/** A conversation, and who renders it. */
export interface Conversation {
  /** The prompt, a long one as UTF-8. Throws INVALID_TEMPLATE or UNSUPPORTED_FEATURE. */
  render(text: ModelText): string | Promise<string | Uint8Array>;
}

/** What an ask is made ready with. */
export interface PrepareTools {
  /** Makes the grammar of what was asked for; a long schema is read elsewhere. */
  readonly compile: (guidance: Guidance) => string | Promise<string>;
  /** Tokens of prompts whose log-probabilities one request may ask for, over all its choices. */
  readonly mostScoredTokens: number;
}

/**
 * Makes an ask ready for the links: compiles its form, renders and encodes its input, and measures it against the model.
 * Throws what the client did wrong.
 */
export async function prepare(ask: Ask<Conversation>, model: ServedModel, tools: PrepareTools): Promise<ReadyAsk> {
  const { input, stopping, guidance } = ask;
  const param = input.kind === "messages" ? "messages" : "prompt";
  const compiled = guidance && (await compile(guidance, model, tools));
  const prompts = await encode(input, model);
  if (ask.promptLogprobs) checkScored(prompts, ask.choicesPerPrompt, { model, most: tools.mostScoredTokens });
  requireFeature(model.features, "generate", "Text generation");
  if (ask.topLogprobs !== undefined) checkLogprobs(model.features, ask.topLogprobs);
  const room = roomOf(prompts, model, param);
  checkTokens(stopping.stopTokens, model.text.vocabularySize, "stop_token_ids");
  checkTokens(ask.sampling.biasTokens, model.text.vocabularySize, "logit_bias");
  const maxTokens = Math.min(stopping.maxTokens ?? room, room);
  return {
    ...ask,
    input: { kind: "tokens", prompts, tokenizer: model.tokenizer },
    stopping: { ...stopping, maxTokens, minTokens: Math.min(stopping.minTokens, room) },
    guidance: compiled,
  };
}

async function compile(guidance: Guidance, model: ServedModel, tools: PrepareTools): Promise<ReadyAsk["guidance"]> {
  const format = guidance.kind === "jsonObject" ? "json_object" : "json_schema";
  requireFeature(model.features, "grammar", `response_format ${format}`);
  return { kind: "ebnfGrammar", grammar: await tools.compile(guidance) };
}

async function encode(input: AskInput<Conversation>, model: ServedModel): Promise<readonly Uint32Array[]> {
  if (input.kind !== "messages") return await encodeInput(input, model, "prompt");
  const prompt = await input.messages.render(model.text);
  checkFits([prompt], model, "messages");
  return [await model.text.encodePrompt(prompt)];
}

/** Units of texts that are looked at in one turn, together; beyond, the cache does not take part. */
const MOST_UNITS = 131_072;

/** What a field gives, as an ask has it. */
export function inputOf({ texts, ids }: Inputs): TokenInput | TextInput {
  return ids ? { kind: "tokens", prompts: ids, tokenizer: "" } : { kind: "text", texts };
}

/** Token ids of a prompt field. Throws on ids that the model does not have. */
export async function encodeInput(
  input: TokenInput | TextInput,
  model: ServedModel,
  field: string,
): Promise<readonly Uint32Array[]> {
  const { text } = model;
  if (input.kind === "tokens") {
    const { prompts } = input;
    for (const { length } of prompts) if (length > model.contextTokens) throw tooLong(length, model, field);
    for (const prompt of prompts) checkTokens(prompt, text.vocabularySize, field);
    return prompts;
  }
  const { texts } = input;
  checkFits(texts, model, field);
  const units = texts.reduce((sum, { length }) => sum + length, 0);
  const given = units > MOST_UNITS ? texts.map((one) => (typeof one === "string" ? Buffer.from(one) : one)) : texts;
  return await Promise.all(given.map(async (one) => text.encodeText(one)));
}

/** Tokens that every answer may have. Throws CONTEXT_LENGTH when a prompt leaves no place for one. */
function roomOf(prompts: readonly Uint32Array[], model: ServedModel, param: string): number {
  const { contextTokens } = model;
  let longest = 0;
  for (const prompt of prompts) {
    if (prompt.length === 0) {
      throw new StatorError("INVALID_FIELD", { field: "prompt", detail: "has no tokens" }, { param: "prompt" });
    }
    longest = Math.max(longest, prompt.length);
  }
  if (longest < contextTokens) return contextTokens - longest;
  throw tooLong(longest, model, param);
}

/** Throws CONTEXT_LENGTH for a text that is too long whatever its tokens: those it never comes to cost nothing. */
function checkFits(texts: readonly (string | Uint8Array)[], model: ServedModel, param: string): void {
  for (const one of texts) {
    const least = model.text.leastTokens(one);
    if (least > model.contextTokens) throw tooLong(`at least ${least}`, model, param);
  }
}

function tooLong(promptTokens: number | string, { name, contextTokens }: ServedModel, param: string): StatorError {
  return new StatorError("CONTEXT_LENGTH", { promptTokens, model: name, contextTokens }, { param });
}

/** Throws UNSUPPORTED_FEATURE with the engine's own reason. */
export function requireFeature(
  features: ModelFeatures,
  feature: "generate" | "embed" | "grammar" | "logprobs" | "promptLogprobs",
  name: string,
): void {
  if (features[feature]) return;
  throw new StatorError("UNSUPPORTED_FEATURE", {
    feature: name,
    detail: features.missing[feature] ?? "the engine of this model cannot do it",
  });
}

function checkLogprobs(features: ModelFeatures, topLogprobs: number): void {
  requireFeature(features, "logprobs", "logprobs");
  if (topLogprobs <= features.maxTopLogprobs) return;
  const detail = `at most ${features.maxTopLogprobs} are available from this model`;
  throw new StatorError("UNSUPPORTED_FEATURE", { feature: "So many top log-probabilities", detail });
}

/** Every token of a prompt that is scored comes back as text, for each choice anew: that must not get out of hand. */
function checkScored(
  prompts: readonly Uint32Array[],
  choices: number,
  { model, most }: { model: ServedModel; most: number },
): void {
  requireFeature(model.features, "promptLogprobs", "echo with logprobs");
  const tokens = choices * prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  if (tokens <= most) return;
  const detail = `with logprobs returns ${tokens} tokens of prompts, and at most ${most} are returned`;
  throw new StatorError("INVALID_FIELD", { field: "echo", detail }, { param: "echo" });
}
