import { parseId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import type { ServingRequest } from "#lib/serving/request";
import type { Guidance } from "#lib/text/grammar/guidance";
import type { StopStrings } from "#lib/text/stop";
import type { Exchange } from "../http/exchange.ts";
import type { ServedModel } from "../models/served.ts";
import type { OpenChat } from "../read/reader.ts";
import type { ChatHead, CompletionHead, Inputs, ReadRequest } from "../read/requests.ts";
import type { ModelText } from "../text/model-text.ts";
import type { GenerationPlan } from "./plan.ts";
import { checkTokens, createSampling } from "./sampling.ts";

/** What a plan is made with. */
export interface PlannerTools {
  /** The model of a name; waits for one that is loading. */
  readonly findModel: (name: string, exchange: Exchange) => ServedModel | Promise<ServedModel>;
  /** Makes the grammar of what was asked for; a long schema is read elsewhere. */
  readonly compile: (guidance: Guidance) => string | Promise<string>;
  /** Compiled stop texts; the same come again and again. */
  readonly compileStops: (stops: readonly string[]) => StopStrings;
  /** Tokens of prompts whose log-probabilities one request may ask for, over all its choices. */
  readonly mostScoredTokens: number;
  /** Draws a seed for a request that has none. */
  readonly drawSeed: () => bigint;
  readonly unixMs: () => number;
}

/** Plans POST /v1/chat/completions: renders and tokenizes. Throws what the client did wrong. */
export async function planChat(read: OpenChat, exchange: Exchange, tools: PlannerTools): Promise<GenerationPlan> {
  const { head: body } = read;
  exchange.ignore(read.ignored);
  const model = await tools.findModel(body.model, exchange);
  const grammar = await grammarOf(body.guidance, model, tools);
  const topLogprobs = body.logprobs ? (body.top_logprobs ?? 0) : undefined;
  const prompt = await read.render(model.text);
  checkFits([prompt], model, "messages");
  const tokens = await model.text.encodePrompt(prompt);
  const request = createRequest(body, exchange, model, {
    drawSeed: tools.drawSeed,
    prompts: [tokens],
    grammar,
    topLogprobs,
    promptLogprobs: false,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
  });
  return {
    ...answerOf(body, request, model.text, tools.compileStops),
    form: "chat",
    id: `chatcmpl-${exchange.requestId}`,
    createdUnixSeconds: Math.floor(tools.unixMs() / 1000),
    echo: undefined,
    logprobs: topLogprobs === undefined ? undefined : "chat",
    promptOnly: false,
  };
}

/** Plans POST /v1/completions. Throws what the client did wrong. */
export async function planCompletion(
  read: ReadRequest<CompletionHead, Inputs>,
  exchange: Exchange,
  tools: PlannerTools,
): Promise<GenerationPlan> {
  const { head: body, parts } = read;
  exchange.ignore(read.ignored);
  const model = await tools.findModel(body.model, exchange);
  const grammar = await grammarOf(body.guidance, model, tools);
  const prompts = await encodeInputs(read.parts, model, "prompt");
  const topLogprobs = body.logprobs ?? undefined;
  const promptLogprobs = body.echo === true && topLogprobs !== undefined;
  if (promptLogprobs) checkScored(prompts, body.n ?? 1, { model, most: tools.mostScoredTokens });
  const request = createRequest(body, exchange, model, {
    drawSeed: tools.drawSeed,
    prompts,
    grammar,
    topLogprobs,
    promptLogprobs,
    // A worker draws at least one token.
    maxTokens: Math.max(1, body.max_tokens ?? 16),
  });
  return {
    ...answerOf(body, request, model.text, tools.compileStops),
    form: "completion",
    id: `cmpl-${exchange.requestId}`,
    createdUnixSeconds: Math.floor(tools.unixMs() / 1000),
    echo: body.echo ? prompts.map((prompt, at) => textOf(parts.texts?.[at]) ?? decode(prompt, model.text)) : undefined,
    logprobs: topLogprobs === undefined ? undefined : "completion",
    promptOnly: body.max_tokens === 0,
  };
}

/** Units of texts that are looked at in one turn, together; beyond, the cache does not take part. */
const MOST_UNITS = 131_072;

/** Token ids of a prompt field. Throws on ids that the model does not have. */
export async function encodeInputs(
  { texts, ids }: Inputs,
  model: ServedModel,
  field: string,
): Promise<readonly Uint32Array[]> {
  const { text } = model;
  if (ids) {
    for (const { length } of ids) if (length > model.contextTokens) throw tooLong(length, model, field);
    for (const prompt of ids) checkTokens(prompt, text.vocabularySize, field);
    return ids;
  }
  checkFits(texts, model, field);
  const units = texts.reduce((sum, { length }) => sum + length, 0);
  const given = units > MOST_UNITS ? texts.map((one) => (typeof one === "string" ? Buffer.from(one) : one)) : texts;
  return await Promise.all(given.map(async (one) => text.encodeText(one)));
}

function textOf(given: string | Uint8Array | undefined): string | undefined {
  return given === undefined || typeof given === "string"
    ? given
    : new TextDecoder("utf-8", { ignoreBOM: true }).decode(given);
}

function decode(tokens: Uint32Array, text: ModelText): string {
  const decoder = text.createDecoder();
  return decoder.push(tokens) + decoder.end();
}

type GenerationBody = ChatHead | CompletionHead;

interface RequestParts {
  readonly drawSeed: () => bigint;
  readonly prompts: readonly Uint32Array[];
  readonly grammar: string | undefined;
  readonly topLogprobs: number | undefined;
  readonly promptLogprobs: boolean;
  /** undefined: what the context leaves. */
  readonly maxTokens: number | undefined;
}

const NO_TOKENS = new Uint32Array(0);

function createRequest(
  body: GenerationBody,
  exchange: Exchange,
  model: ServedModel,
  parts: RequestParts,
): ServingRequest {
  requireFeature(model.features, "generate", "Text generation");
  if (parts.topLogprobs !== undefined) checkLogprobs(model.features, parts.topLogprobs);
  const room = checkLengths(parts.prompts, model, exchange.route === "chat" ? "messages" : "prompt");
  const stopTokens = body.stop_token_ids ? Uint32Array.from(body.stop_token_ids) : NO_TOKENS;
  checkTokens(stopTokens, model.text.vocabularySize, "stop_token_ids");
  return {
    requestId: exchange.requestId,
    route: exchange.route,
    kind: "generate",
    model: model.name,
    tokenizer: model.tokenizer,
    prompts: parts.prompts,
    choicesPerPrompt: body.n ?? 1,
    sampling: createSampling(body, {
      defaultSampling: model.defaultSampling,
      vocabularySize: model.text.vocabularySize,
      drawSeed: parts.drawSeed,
    }),
    maxTokens: Math.min(parts.maxTokens ?? room, room),
    minTokens: Math.min(body.min_tokens ?? 0, room),
    ignoreEos: body.ignore_eos ?? false,
    stopTokens,
    grammar: parts.grammar,
    topLogprobs: parts.topLogprobs,
    promptLogprobs: parts.promptLogprobs,
    ...placementOf(body, exchange),
    pooling: undefined,
    normalize: true,
  };
}

/** What the fields about placement and the headers say together; for every route. */
export function placementOf(
  body: Pick<GenerationBody, "cache_salt" | "priority" | "stator">,
  exchange: Exchange,
): Pick<ServingRequest, "cacheSalt" | "priority" | "pinnedWorker" | "deadlineMs" | "traceparent"> {
  const traceparent = exchange.header("traceparent");
  return {
    cacheSalt: body.cache_salt ?? "",
    priority: body.priority ?? 0,
    pinnedWorker: pinnedWorker(body.stator?.worker, exchange.header("x-stator-worker")),
    deadlineMs: undefined,
    traceparent:
      traceparent && /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent) ? traceparent : undefined,
  };
}

function pinnedWorker(field: string | null | undefined, header: string | undefined): bigint | undefined {
  if (header === undefined) return field ? parseId(field) : undefined;
  const worker = parseId(header);
  if (worker !== undefined) return worker;
  throw new StatorError("INVALID_FIELD", { field: "The header x-stator-worker", detail: "is not an instance id" });
}

/** Tokens that every answer may have. Throws CONTEXT_LENGTH when a prompt leaves no place for one. */
function checkLengths(prompts: readonly Uint32Array[], model: ServedModel, param: string): number {
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

async function grammarOf(
  guidance: Guidance | undefined,
  model: ServedModel,
  { compile }: Pick<PlannerTools, "compile">,
): Promise<string | undefined> {
  if (!guidance) return undefined;
  const format = guidance.kind === "jsonObject" ? "json_object" : "json_schema";
  requireFeature(model.features, "grammar", `response_format ${format}`);
  return await compile(guidance);
}

function answerOf(
  body: GenerationBody,
  request: ServingRequest,
  text: ModelText,
  compileStops: PlannerTools["compileStops"],
) {
  const stops = typeof body.stop === "string" ? [body.stop] : (body.stop ?? []);
  return {
    request,
    text,
    choices: request.prompts.length * request.choicesPerPrompt,
    stops: stops.length > 0 ? compileStops(stops) : undefined,
    includeStop: body.include_stop_str_in_output ?? false,
    stream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    continuousUsage: body.stream_options?.continuous_usage_stats ?? false,
    explain: body.stator?.explain ?? false,
  };
}
