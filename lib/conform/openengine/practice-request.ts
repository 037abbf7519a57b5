import type { GenerateRequest } from "#gen/openengine/v1/generation_pb";
import { StatorError } from "#lib/base/errors";
import type { Metadata } from "#lib/rpc/metadata";
import type { PracticeAdapters } from "./practice-adapters.ts";
import type { PracticeAsk } from "./practice-generation.ts";
import { MOST_TOP, practiceTokenize, VOCABULARY } from "./practice-tokens.ts";

/** Prompt and answer together. */
export const CONTEXT_TOKENS = 32_768;

/** Sequences of one request at most. */
export const MOST_SEQUENCES = 8;

const TRACE_PARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

function invalid(detail: string): never {
  throw new StatorError("INVALID_ARGUMENT", { detail });
}

function unsupported(feature: string): never {
  throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail: "a practice engine does not have it" });
}

/** Reads a request. Throws INVALID_ARGUMENT, UNSUPPORTED_FEATURE, NOT_FOUND or MODEL_NOT_FOUND. */
export function readPracticeAsk(
  request: GenerateRequest,
  context: { readonly model: string; readonly adapters: PracticeAdapters; readonly metadata: Metadata },
): Pick<PracticeAsk, "prompt" | "maxTokens"> {
  readHeaders(context.metadata);
  const { requestId, model, loraName, sampling, stopping, response, kv, guided, media } = request;
  if (requestId === "") invalid("request_id: must not be empty");
  if (model !== "" && model !== context.model) throw new StatorError("MODEL_NOT_FOUND", { model });
  if (loraName !== "" && !context.adapters.has(loraName))
    throw new StatorError("NOT_FOUND", { what: `The adapter ${loraName}` });
  if (guided) unsupported("guided");
  if (media.length > 0) unsupported("media");
  if (response?.returnPromptLogprobs) unsupported("return_prompt_logprobs");
  if (kv?.session) unsupported("kv.session");
  const { numSequences = 1, temperature = 1 } = sampling ?? {};
  if (numSequences < 1 || numSequences > MOST_SEQUENCES) invalid(`num_sequences: expected 1 to ${MOST_SEQUENCES}`);
  if (!(temperature >= 0)) invalid("temperature: expected 0 or more");
  const selection = response?.outputCandidates?.selection;
  if (selection?.case === "topN" && selection.value > MOST_TOP) invalid(`top_n: expected at most ${MOST_TOP}`);
  const { minTokens = 0, conditions = [] } = stopping ?? {};
  if (conditions.some(({ condition }) => condition.case === undefined || condition.value === "")) {
    invalid("conditions: expected stop_text or stop_token_id");
  }
  const prompt = readPrompt(request);
  const maxTokens = Math.min(stopping?.maxTokens ?? CONTEXT_TOKENS, CONTEXT_TOKENS - prompt.length);
  if (stopping?.maxTokens === 0) invalid("max_tokens: expected 1 or more");
  if (minTokens > (stopping?.maxTokens ?? CONTEXT_TOKENS)) invalid("min_tokens: above max_tokens");
  return { prompt, maxTokens };
}

function readPrompt({ input }: GenerateRequest): Uint32Array {
  const prompt = input.case === "prompt" ? practiceTokenize(input.value) : Uint32Array.from(input.value?.ids ?? []);
  if (prompt.length === 0) invalid("input: expected a prompt");
  if (prompt.length >= CONTEXT_TOKENS) invalid(`input: ${prompt.length} tokens, the context has ${CONTEXT_TOKENS}`);
  if (prompt.some((id) => id >= VOCABULARY)) invalid("token_ids: outside of the vocabulary");
  return prompt;
}

function readHeaders(metadata: Metadata): void {
  const priority = metadata.get("openengine-priority") ?? "0";
  if (!/^-?\d{1,10}$/.test(priority) || Math.abs(Number(priority)) > 0x7fff_ffff)
    invalid("openengine-priority: malformed");
  if (!/^\d{1,10}$/.test(metadata.get("openengine-target-dp-rank") ?? "0"))
    invalid("openengine-target-dp-rank: malformed");
  const parent = metadata.get("traceparent");
  if (parent !== undefined && !TRACE_PARENT.test(parent)) invalid("traceparent: malformed");
}
