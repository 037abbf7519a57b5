import { StatorError } from "#lib/base/errors";
import { type Ask, type LinkAsk, type ReadyAsk, readyAsk, textAsk } from "#lib/serving/ask";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { Asked, DoorWords } from "../doors/door.ts";
import type { ServedModel } from "../models/served.ts";
import { onlyThere } from "../models/worker-text.ts";
import type { Conversation } from "../read/reader.ts";
import { encode } from "./encode.ts";
import { checkNotEmpty, checkTokens, requireFeature, tooLong } from "./fit.ts";

/** What an ask is made ready with. */
export interface PrepareTools {
  /** Tokens of prompts whose log-probabilities one request may ask for, over all its choices. */
  readonly mostScoredTokens: number;
}

/** What an ask has to fit, and by which words its caller is told where it does not. */
export interface Fitting extends Pick<Asked<unknown>, "dimensions" | "byToken"> {
  /** The one that was named. */
  readonly model: ServedModel;
  /** What the door calls the things of an ask. */
  readonly words: DoorWords;
}

/**
 * Makes an ask ready for the links: renders and encodes its input, and measures it against the model.
 * Throws what the caller did wrong.
 */
export function prepare(ask: Ask<Conversation>, fitting: Fitting, tools: PrepareTools): Promise<LinkAsk> {
  if (fitting.model.input === "text") return prepareText(ask, fitting);
  return ask.kind === "embed" ? prepareEmbedding(ask, fitting) : prepareGeneration(ask, fitting, tools);
}

/** Nothing of a prompt is measured here: only the model's workers can. What needs token ids is refused. */
async function prepareText(ask: Ask<Conversation>, fitting: Fitting): Promise<LinkAsk> {
  const { model, words, dimensions, byToken } = fitting;
  const { input, stopping, sampling } = ask;
  const isEmbedding = ask.kind === "embed";
  if (isEmbedding) requireFeature(model.features, "embed", "Embedding");
  else requireFeature(model.features, "generate", "Text generation");
  if (dimensions !== undefined) checkDimensions(dimensions, model, words.dimensions);
  if (ask.guidance) requireForm(ask.guidance, fitting);
  // What a message spells like a control token would be one there.
  if (input.kind === "messages") throw onlyThere("Chat");
  if (input.kind === "tokens") throw onlyThere(`Token ids in ${words.input}`);
  if (ask.topLogprobs !== undefined) throw onlyThere(words.logprobs);
  if (byToken) throw onlyThere(words.tokens);
  if (stopping.stopTokens.length > 0) throw onlyThere(words.stopTokens);
  if (sampling.biasTokens.length > 0) throw onlyThere(words.biasTokens);
  for (const text of input.texts) checkNotEmpty(text, words.input);
  const most = isEmbedding ? 1 : model.contextTokens;
  const maxTokens = Math.min(stopping.maxTokens ?? most, most);
  return textAsk({ ...ask, stopping: { ...stopping, maxTokens } });
}

async function prepareEmbedding(ask: Ask<Conversation>, { model, words, dimensions }: Fitting): Promise<ReadyAsk> {
  requireFeature(model.features, "embed", "Embedding");
  if (dimensions !== undefined) checkDimensions(dimensions, model, words.dimensions);
  const prompts = await encode(ask.input, model, words.input);
  for (const prompt of prompts) {
    checkNotEmpty(prompt, words.input);
    if (prompt.length > model.contextTokens) throw tooLong(prompt.length, model, words.input);
  }
  const input = { kind: "tokens", prompts, tokenizer: model.tokenizer } as const;
  return readyAsk({ ...ask, input, stopping: { ...ask.stopping, maxTokens: 1 }, guidance: undefined });
}

function checkDimensions(dimensions: number, { name, features }: ServedModel, field: string): void {
  const size = features.embeddingSize;
  if (dimensions === size) return;
  const which = size === undefined ? "one size" : `${size} numbers`;
  const detail = `${name} makes embeddings of ${which} and no others`;
  throw new StatorError("INVALID_FIELD", { field, detail }, { param: field });
}

async function prepareGeneration(ask: Ask<Conversation>, fitting: Fitting, tools: PrepareTools): Promise<ReadyAsk> {
  const { model, words } = fitting;
  const { input, stopping, guidance } = ask;
  if (guidance) requireForm(guidance, fitting);
  const prompts = await encode(input, model, words.input);
  if (ask.promptLogprobs) checkScored(prompts, ask.choicesPerPrompt, { ...fitting, most: tools.mostScoredTokens });
  requireFeature(model.features, "generate", "Text generation");
  if (ask.topLogprobs !== undefined) checkLogprobs(ask.topLogprobs, fitting);
  const room = roomOf(prompts, input.kind, fitting);
  checkTokens(stopping.stopTokens, model.text.vocabularySize, words.stopTokens);
  checkTokens(ask.sampling.biasTokens, model.text.vocabularySize, words.biasTokens);
  const maxTokens = Math.min(stopping.maxTokens ?? room, room);
  return readyAsk({
    ...ask,
    input: { kind: "tokens", prompts, tokenizer: model.tokenizer },
    stopping: { ...stopping, maxTokens, minTokens: Math.min(stopping.minTokens, room) },
  });
}

function requireForm({ kind }: Guidance, { model, words }: Fitting): void {
  requireFeature(model.features, "grammar", words.guidance[kind] ?? kind);
}

/** Tokens that every answer may have. Throws CONTEXT_LENGTH when a prompt leaves no place for one. */
function roomOf(prompts: readonly Uint32Array[], kind: Ask["input"]["kind"], { model, words }: Fitting): number {
  const { contextTokens } = model;
  let longest = 0;
  for (const prompt of prompts) {
    // What a template makes of messages is a prompt, whatever they are called.
    checkNotEmpty(prompt, kind === "messages" ? "prompt" : words.input);
    longest = Math.max(longest, prompt.length);
  }
  if (longest < contextTokens) return contextTokens - longest;
  throw tooLong(longest, model, words.input);
}

function checkLogprobs(topLogprobs: number, { model: { features }, words }: Fitting): void {
  requireFeature(features, "logprobs", words.logprobs);
  if (topLogprobs <= features.maxTopLogprobs) return;
  const detail = `at most ${features.maxTopLogprobs} are available from this model`;
  throw new StatorError("UNSUPPORTED_FEATURE", { feature: "So many top log-probabilities", detail });
}

/** Every token of a prompt that is scored comes back as text, for each choice anew: that must not get out of hand. */
function checkScored(
  prompts: readonly Uint32Array[],
  choices: number,
  { model, words, most }: Fitting & { readonly most: number },
): void {
  requireFeature(model.features, "promptLogprobs", `${words.echo} with ${words.logprobs}`);
  const tokens = choices * prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  if (tokens <= most) return;
  const detail = `with ${words.logprobs} returns ${tokens} tokens of prompts, and at most ${most} are returned`;
  throw new StatorError("INVALID_FIELD", { field: words.echo, detail }, { param: words.echo });
}
