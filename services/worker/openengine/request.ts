import type {
  CandidateTokenSelection,
  GuidedDecoding,
  GenerateRequest as OpenEngineRequest,
  StopCondition,
} from "#gen/openengine/v1/generation_pb";
import { StatorError } from "#lib/base/errors";
import { ANSWER_BOUNDS, ANSWER_RANGES, type DefaultSampling } from "#lib/base/sampling";
import { requireAbility } from "#lib/engines/ability";
import type { Engine, GenerateRequest } from "#lib/engines/engine";
import { EXTRA_KEYS } from "#lib/engines/openengine/ask";
import { NO_WISHES } from "#lib/routing/router";
import type { LinkAsk } from "#lib/serving/ask";
import type { Guidance } from "#lib/text/grammar/guidance";
import { checkSampling, fillSampling, type SamplingOptions, UNSAID, within } from "#lib/tokens/sampling";
import type { ModelNames } from "#lib/worker/translate";

/** What is read on the event loop is bounded: these are a few milliseconds each. */
const MOST = {
  promptText: 65_536,
  conditions: ANSWER_BOUNDS.stopTexts + ANSWER_BOUNDS.stopTokens,
  schema: 32_768,
  grammar: 262_144,
} as const;

const NO_TOKENS = new Uint32Array(0);

const unsupported = (feature: string, detail: string): never => {
  throw new StatorError("UNSUPPORTED_FEATURE", { feature, detail });
};

const invalid = (detail: string): never => {
  throw new StatorError("INVALID_ARGUMENT", { detail });
};

/** What a request is read against. */
export interface AskContext {
  /** Whose limits and defaults hold. */
  readonly engine: Engine;
  /** Names that a request may ask for. */
  readonly names: ModelNames;
  /** From the metadata; higher is more urgent. */
  readonly priority: number;
  /** From the metadata, as W3C Trace Context writes it; undefined when the call has none. */
  readonly traceparent: string | undefined;
  /** Key of the draws when the request names none. */
  readonly seed: bigint;
}

/** An ask of this contract. Its bounds are those of what is still to come. */
export interface OpenEngineAsk extends LinkAsk {
  /** Tokens at the end of the prompt that an earlier attempt has answered. */
  readonly answered: number;
  /** The caller's choice that the first sequence is. */
  readonly firstChoice: number;
}

/** Reads a request. Throws INVALID_ARGUMENT, UNSUPPORTED_FEATURE or MODEL_NOT_FOUND before anything ran. */
export function readAsk(request: OpenEngineRequest, context: AskContext): OpenEngineAsk {
  const { engine, names, priority, traceparent } = context;
  const { requestId, sampling: drawing, response, kv } = request;
  if (requestId === "") invalid("request_id: must not be empty");
  if (request.media.length > 0) unsupported("media", "this model takes text only");
  if (kv?.bypassPrefixCache) unsupported("kv.bypass_prefix_cache", "the prefix cache cannot be bypassed");
  if (response?.returnPromptLogprobs)
    unsupported("return_prompt_logprobs", "only output log-probabilities are offered");
  const choicesPerPrompt = within("num_sequences", drawing?.numSequences ?? 1, ANSWER_RANGES.choices);
  const conditions = readConditions(request.stopping?.conditions ?? []);
  const prompt = input(request, engine);
  return {
    ...readExtra(request, prompt.kind === "tokens" ? prompt.prompts[0]!.length : 0),
    requestId,
    route: "openengine",
    kind: "generate",
    model: names.model,
    input: prompt,
    choicesPerPrompt,
    sampling: sampling(request, engine.card.defaultSampling, context.seed),
    stopping: stopping(request, conditions, engine),
    guidance: request.guided && readGuidance(request.guided),
    topLogprobs: response?.returnOutputLogprobs ? topCount(response.outputCandidates) : undefined,
    promptLogprobs: false,
    adapter: adapter(request, names),
    cacheSalt: kv?.cacheSalt ?? "",
    priority,
    target: undefined,
    wishes: NO_WISHES,
    deadlineMs: undefined,
    traceparent,
    pooling: undefined,
    normalize: true,
  };
}

/** Where an answer goes on, as a caller of ours says it; the whole prompt has so many tokens. */
function readExtra(
  { extra }: OpenEngineRequest,
  promptTokens: number,
): Pick<OpenEngineAsk, "answered" | "firstChoice"> {
  const { least } = ANSWER_RANGES.choices;
  const read = (key: string, most: number): number => {
    const value = extra?.[key] ?? 0;
    return within(`extra.${key}`, typeof value === "number" ? value : Number.NaN, { is: "integer", least: 0, most });
  };
  return {
    answered: read(EXTRA_KEYS.generated, Math.max(0, promptTokens - 1)),
    firstChoice: read(EXTRA_KEYS.choice, ANSWER_RANGES.choices.most - least),
  };
}

/** One choice of an ask as an engine takes it: what was answered before counts there as a part of the answer. */
export function engineRequest(ask: OpenEngineAsk, id: number, choice: number): GenerateRequest {
  const { answered, stopping } = ask;
  const tokens = ask.input.kind === "tokens" ? ask.input.prompts[0]! : NO_TOKENS;
  const end = tokens.length - answered;
  const { most } = ANSWER_RANGES.max_tokens;
  return {
    kind: "generate",
    id,
    promptTokens: tokens.subarray(0, end),
    promptText: ask.input.kind === "text" ? String(ask.input.texts[0]) : undefined,
    generatedTokens: tokens.subarray(end),
    choice: ask.firstChoice + choice,
    sampling: ask.sampling,
    stopping: {
      ...stopping,
      maxTokens: Math.min(most, stopping.maxTokens + answered),
      minTokens: stopping.minTokens + answered,
    },
    guidance: ask.guidance,
    topLogprobs: ask.topLogprobs,
    promptLogprobs: ask.promptLogprobs,
    adapter: ask.adapter,
    cacheSalt: ask.cacheSalt,
    priority: ask.priority,
  };
}

/** Each condition says one thing; one that is newer than this code would end nothing and is refused. */
function readConditions(conditions: readonly StopCondition[]): { texts: string[]; tokens: number[] } {
  const texts: string[] = [];
  const tokens: number[] = [];
  if (conditions.length > MOST.conditions) invalid(`stopping.conditions: at most ${MOST.conditions} are taken`);
  for (const { condition } of conditions) {
    if (condition.case === "stopTokenId") tokens.push(condition.value);
    else if (condition.case === "stopText" && condition.value !== "") texts.push(condition.value);
    else invalid("stopping.conditions: expected stop_text, not empty, or stop_token_id");
  }
  const { stopTexts, stopTextUnits } = ANSWER_BOUNDS;
  if (texts.length > stopTexts || texts.some(({ length }) => length > stopTextUnits)) {
    invalid(`stopping.conditions: at most ${stopTexts} texts of ${stopTextUnits} characters are taken`);
  }
  return { texts, tokens };
}

function stopping(
  { stopping: given }: OpenEngineRequest,
  { texts, tokens }: ReturnType<typeof readConditions>,
  engine: Engine,
): LinkAsk["stopping"] {
  const { max_tokens, min_tokens } = ANSWER_RANGES;
  const maxTokens = within("max_tokens", given?.maxTokens ?? engine.card.contextTokens ?? max_tokens.most, max_tokens);
  return {
    maxTokens,
    minTokens: within("min_tokens", given?.minTokens ?? 0, { ...min_tokens, most: maxTokens }),
    ignoreEos: given?.ignoreEos ?? false,
    stopTokens: Uint32Array.from(tokens),
    stopTexts: texts,
    includeStop: given?.includeStopInOutput ?? false,
  };
}

function input({ input: given, response }: OpenEngineRequest, engine: Engine): LinkAsk["input"] {
  if (engine.card.input === "text") {
    if (response?.returnOutputLogprobs) unsupported("return_output_logprobs", "the engine gives text and no tokens");
    if (given.case === "prompt") return { kind: "text", texts: [atMost("prompt", given.value, MOST.promptText)] };
    return invalid("input: expected prompt, since the engine takes text");
  }
  const tokens = (ids: Uint32Array) => ({ kind: "tokens", prompts: [ids], tokenizer: "" }) as const;
  if (given.case === "tokenIds") return tokens(Uint32Array.from(given.value.ids));
  if (given.case !== "prompt") return invalid("input: expected prompt or token_ids");
  return tokens(requireAbility(engine, "text").tokenize(atMost("prompt", given.value, MOST.promptText)));
}

function adapter(request: OpenEngineRequest, names: ModelNames): string | undefined {
  if (request.model !== "" && request.model !== names.model)
    throw new StatorError("MODEL_NOT_FOUND", { model: request.model });
  if (request.loraName === "") return undefined;
  if (!names.hasAdapter(request.loraName))
    throw new StatorError("NOT_FOUND", { what: `The adapter ${request.loraName}` });
  return request.loraName;
}

function sampling({ sampling: given }: OpenEngineRequest, usual: DefaultSampling, seed: bigint): SamplingOptions {
  const asked = {
    ...UNSAID,
    temperature: given?.temperature,
    topK: given?.topK,
    topP: given?.topP,
    minP: given?.minP,
    frequencyPenalty: given?.frequencyPenalty,
    presencePenalty: given?.presencePenalty,
    repetitionPenalty: given?.repetitionPenalty,
    seed: given?.seed,
  };
  return checkSampling(fillSampling(asked, usual, () => seed));
}

function topCount(candidates: CandidateTokenSelection | undefined): number {
  const selection = candidates?.selection;
  if (selection?.case === "topN") return within("output_candidates.top_n", selection.value, ANSWER_RANGES.top_logprobs);
  if (selection?.case !== undefined) unsupported(`output_candidates.${selection.case}`, "only top_n is offered");
  return 0;
}

function readGuidance({ guide, backend }: GuidedDecoding): Guidance {
  if (backend !== "") unsupported("guided.backend", "the engine has one grammar engine and takes no name");
  switch (guide.case) {
    case "jsonSchema":
      return { kind: "jsonSchema", schema: atMost("guided.json_schema", guide.value, MOST.schema) };
    case "jsonObject":
      return { kind: "jsonObject" };
    case "ebnfGrammar":
      return { kind: "ebnfGrammar", grammar: atMost("guided.ebnf_grammar", guide.value, MOST.grammar) };
    case "choice":
      return { kind: "choice", choices: guide.value.choices };
    case "regex":
      return { kind: "regex", pattern: guide.value };
    case "structuralTag":
      return { kind: "structuralTag", tag: guide.value };
    default:
      return invalid("guided: expected a guide");
  }
}

function atMost(field: string, text: string, most: number): string {
  return text.length <= most ? text : invalid(`${field}: longer than ${most} characters`);
}
