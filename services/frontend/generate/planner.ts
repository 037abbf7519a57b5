import { parseId } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { Ask, AskInput, ReadyAsk } from "#lib/serving/ask";
import type { StopStrings } from "#lib/text/stop";
import type { Exchange } from "../http/exchange.ts";
import type { ServedModel } from "../models/served.ts";
import type { OpenChat } from "../read/reader.ts";
import type { ChatHead, CompletionHead, Inputs, ReadRequest } from "../read/requests.ts";
import type { ModelText } from "../text/model-text.ts";
import type { GenerationPlan } from "./plan.ts";
import { type Conversation, inputOf, type PrepareTools, prepare } from "./prepare.ts";
import { createSampling } from "./sampling.ts";

/** What a plan is made with. */
export interface PlannerTools extends PrepareTools {
  /** The model of a name; waits for one that is loading. */
  readonly findModel: (name: string, exchange: Exchange) => ServedModel | Promise<ServedModel>;
  /** Compiled stop texts; the same come again and again. */
  readonly compileStops: (stops: readonly string[]) => StopStrings;
  /** Draws a seed for a request that has none. */
  readonly drawSeed: () => bigint;
  readonly unixMs: () => number;
}

/** Plans POST /v1/chat/completions: renders and tokenizes. Throws what the client did wrong. */
export async function planChat(read: OpenChat, exchange: Exchange, tools: PlannerTools): Promise<GenerationPlan> {
  const { head: body } = read;
  exchange.ignore(read.ignored);
  const model = await tools.findModel(body.model, exchange);
  const topLogprobs = body.logprobs ? (body.top_logprobs ?? 0) : undefined;
  const ask = createAsk(body, exchange, model, {
    drawSeed: tools.drawSeed,
    input: { kind: "messages", messages: read },
    topLogprobs,
    promptLogprobs: false,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? undefined,
  });
  return {
    ...answerOf(body, await prepare(ask, model, tools), model.text, tools.compileStops),
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
  const topLogprobs = body.logprobs ?? undefined;
  const ask = createAsk(body, exchange, model, {
    drawSeed: tools.drawSeed,
    input: inputOf(parts),
    topLogprobs,
    promptLogprobs: body.echo === true && topLogprobs !== undefined,
    // A worker draws at least one token.
    maxTokens: Math.max(1, body.max_tokens ?? 16),
  });
  const ready = await prepare(ask, model, tools);
  const echoed = (prompt: Uint32Array, at: number) => textOf(parts.texts?.[at]) ?? decode(prompt, model.text);
  return {
    ...answerOf(body, ready, model.text, tools.compileStops),
    form: "completion",
    id: `cmpl-${exchange.requestId}`,
    createdUnixSeconds: Math.floor(tools.unixMs() / 1000),
    echo: body.echo ? ready.input.prompts.map(echoed) : undefined,
    logprobs: topLogprobs === undefined ? undefined : "completion",
    promptOnly: body.max_tokens === 0,
  };
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

interface AskParts {
  readonly drawSeed: () => bigint;
  readonly input: AskInput<Conversation>;
  readonly topLogprobs: number | undefined;
  readonly promptLogprobs: boolean;
  /** undefined: what the context leaves. */
  readonly maxTokens: number | undefined;
}

const NO_TOKENS = new Uint32Array(0);

/** What the fields say, in the words of no door. */
function createAsk(
  body: GenerationBody,
  exchange: Exchange,
  model: ServedModel,
  { drawSeed, maxTokens, ...parts }: AskParts,
): Ask<Conversation> {
  return {
    requestId: exchange.requestId,
    route: exchange.route,
    kind: "generate",
    model: model.name,
    adapter: undefined,
    choicesPerPrompt: body.n ?? 1,
    sampling: createSampling(body, { defaultSampling: model.defaultSampling, drawSeed }),
    stopping: {
      maxTokens,
      minTokens: body.min_tokens ?? 0,
      ignoreEos: body.ignore_eos ?? false,
      stopTokens: body.stop_token_ids ? Uint32Array.from(body.stop_token_ids) : NO_TOKENS,
      stopTexts: typeof body.stop === "string" ? [body.stop] : (body.stop ?? []),
      includeStop: body.include_stop_str_in_output ?? false,
    },
    guidance: body.guidance,
    ...parts,
    ...placementOf(body, exchange),
    pooling: undefined,
    normalize: true,
  };
}

/** What the fields about placement and the headers say together; for every route. */
export function placementOf(
  body: Pick<GenerationBody, "cache_salt" | "priority" | "stator">,
  exchange: Exchange,
): Pick<Ask, "cacheSalt" | "priority" | "target" | "deadlineMs" | "traceparent"> {
  const traceparent = exchange.header("traceparent");
  const worker = pinnedWorker(body.stator?.worker, exchange.header("x-stator-worker"));
  return {
    cacheSalt: body.cache_salt ?? "",
    priority: body.priority ?? 0,
    target: worker === undefined ? undefined : { worker, rank: undefined },
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

function answerOf(
  body: GenerationBody,
  request: ReadyAsk,
  text: ModelText,
  compileStops: PlannerTools["compileStops"],
) {
  const { stopTexts } = request.stopping;
  return {
    request,
    text,
    choices: request.input.prompts.length * request.choicesPerPrompt,
    stops: stopTexts.length > 0 ? compileStops(stopTexts) : undefined,
    stream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    continuousUsage: body.stream_options?.continuous_usage_stats ?? false,
    explain: body.stator?.explain ?? false,
  };
}
