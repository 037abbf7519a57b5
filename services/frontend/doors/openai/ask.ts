import type { ChatBody } from "#lib/api/openai/chat-fields";
import type { CompletionBody } from "#lib/api/openai/completion-fields";
import type { EmbeddingBody } from "#lib/api/openai/embedding-fields";
import { parseId } from "#lib/base/bytes";
import { NO_WISHES, type RouteWishes } from "#lib/routing/router";
import type { TextInput, TokenInput } from "#lib/serving/ask";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { AskedSampling } from "#lib/tokens/sampling";
import type { Asked, DoorAsk, DoorWords } from "../door.ts";
import { PLAIN_ASK, PLAIN_ASKED, PLAIN_WORDS } from "../plain.ts";

/** What an ask for an answer is made of, whatever the route calls its prompt. */
export type GenerationBody = Omit<CompletionBody, "prompt" | "logprobs" | "echo" | "max_tokens">;

/** What the fields of all routes are called. */
export const OPENAI_WORDS: Omit<DoorWords, "input"> = {
  stopTokens: "stop_token_ids",
  biasTokens: "logit_bias",
  echo: "echo",
  dimensions: "dimensions",
  logprobs: "logprobs",
  tokens: PLAIN_WORDS.tokens,
  guidance: { jsonObject: "response_format json_object", jsonSchema: "response_format json_schema" },
};

/** What chat and completions are printed by, beside the plan. */
export interface OpenAiForm {
  /** An event with the usage comes before the last. */
  readonly includeUsage: boolean;
  /** The answer tells worker and decision. */
  readonly explain: boolean;
}

/** What chat and completions say in fields of their own. */
export interface AskParts extends Pick<DoorAsk, "input" | "topLogprobs" | "promptLogprobs"> {
  /** undefined: what the context leaves. */
  readonly maxTokens: number | undefined;
}

/** The ask of a chat or completions body. */
export function readGeneration(body: GenerationBody, parts: AskParts): DoorAsk {
  return {
    ...PLAIN_ASK,
    model: body.model,
    choicesPerPrompt: body.n ?? 1,
    sampling: readSampling(body),
    stopping: {
      maxTokens: parts.maxTokens,
      minTokens: body.min_tokens ?? 0,
      ignoreEos: body.ignore_eos ?? false,
      stopTokens: body.stop_token_ids ? Uint32Array.from(body.stop_token_ids) : PLAIN_ASK.stopping.stopTokens,
      stopTexts: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
      includeStop: body.include_stop_str_in_output ?? false,
    },
    guidance: readFormat(body.response_format),
    input: parts.input,
    topLogprobs: parts.topLogprobs,
    promptLogprobs: parts.promptLogprobs,
    cacheSalt: body.cache_salt ?? "",
    priority: body.priority ?? 0,
    ...readPlacement(body),
  };
}

/** A chat or completions body with its ask. */
export function answerAs(body: GenerationBody, ask: DoorAsk, ignored: readonly string[]): Asked<OpenAiForm> {
  const { stream, stream_options: options, stator } = body;
  return {
    ...PLAIN_ASKED,
    ask,
    ignored,
    stream: stream ?? false,
    soFar: options?.continuous_usage_stats ?? false,
    form: { includeUsage: options?.include_usage ?? false, explain: stator?.explain ?? false },
  };
}

/** Where it is to run, as every route says it. */
export function readPlacement({ stator }: Pick<EmbeddingBody, "stator">): Pick<DoorAsk, "target" | "wishes"> {
  const worker = stator?.worker ? parseId(stator.worker) : undefined;
  return { target: worker === undefined ? undefined : { worker, rank: undefined }, wishes: readWishes(stator) };
}

function readWishes(stator: EmbeddingBody["stator"]): RouteWishes {
  const { session, required_taints: required, preferred_taints: preferred } = stator ?? {};
  if (!session && !required && !preferred) return NO_WISHES;
  return {
    session: session ?? undefined,
    requiredTaints: required ?? NO_WISHES.requiredTaints,
    preferredTaints: Object.entries(preferred ?? {}).map(([taint, weight]) => ({ taint, weight })),
  };
}

/** Prompts or inputs as a field gives them: one or several, as text or as token ids. */
export function readInput(input: CompletionBody["prompt"]): TextInput | TokenInput {
  if (typeof input === "string") return { kind: "text", texts: [input] };
  if (typeof input[0] === "string") return { kind: "text", texts: input as readonly string[] };
  const lists = (typeof input[0] === "number" ? [input] : input) as readonly (readonly number[])[];
  return { kind: "tokens", prompts: lists.map((list) => new Uint32Array(list)), tokenizer: "" };
}

function readSampling(body: GenerationBody): AskedSampling {
  const { seed, logit_bias: bias } = body;
  const ids = bias ? Object.keys(bias) : [];
  // Nothing of the sum is asked for: the likeliest token alone has part in it.
  const likeliest = body.top_p === 0;
  return {
    temperature: body.temperature ?? undefined,
    topK: likeliest ? 1 : (body.top_k ?? undefined),
    topP: likeliest ? 1 : (body.top_p ?? undefined),
    minP: body.min_p ?? undefined,
    repetitionPenalty: body.repetition_penalty ?? undefined,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    seed: seed === undefined || seed === null ? undefined : BigInt.asUintN(64, BigInt(seed)),
    biasTokens: ids.length > 0 ? Uint32Array.from(ids, Number) : undefined,
    biasValues: bias && ids.length > 0 ? Float32Array.from(ids, (id) => bias[id]!) : undefined,
  };
}

function readFormat(format: ChatBody["response_format"]): Guidance | undefined {
  if (!format || format.type === "text") return undefined;
  if (format.type === "json_object") return { kind: "jsonObject" };
  return { kind: "jsonSchema", schema: JSON.stringify(format.json_schema.schema) };
}
