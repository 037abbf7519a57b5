import { printEmbeddings, printFloats } from "#lib/api/openai/bodies";
import { viewBytes } from "#lib/base/bytes";
import { StatorError } from "#lib/base/errors";
import type { Placement, Usage } from "#lib/serving/answer";
import type { ReadyAsk } from "#lib/serving/ask";
import type { Dispatcher, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import { GREEDY } from "#lib/tokens/sampling";
import type { Exchange, Work } from "../http/exchange.ts";
import type { ServedModel } from "../models/served.ts";
import type { EmbeddingHead, Inputs, ReadRequest } from "../read/requests.ts";
import { setPlacement } from "./outcome.ts";
import { type PlannerTools, placementOf } from "./planner.ts";
import { encodeInput, inputOf, requireFeature } from "./prepare.ts";
import type { AnswerTools } from "./tools.ts";

const NOTHING_DRAWN = {
  maxTokens: 1,
  minTokens: 0,
  ignoreEos: false,
  stopTokens: new Uint32Array(0),
  stopTexts: [],
  includeStop: false,
} as const;

/** Answers POST /v1/embeddings. */
export async function answerEmbeddings(
  { head: body, ignored, parts }: ReadRequest<EmbeddingHead, Inputs>,
  exchange: Exchange,
  tools: PlannerTools & { readonly dispatcher: Dispatcher; readonly answers: AnswerTools },
): Promise<void> {
  exchange.ignore(ignored);
  const model = await tools.findModel(body.model, exchange);
  requireFeature(model.features, "embed", "Embedding");
  checkDimensions(body.dimensions, model);
  const prompts = await encodeInput(inputOf(parts), model, "input");
  checkInputs(prompts, model);
  if (exchange.closed) return;
  const request: ReadyAsk = {
    requestId: exchange.requestId,
    route: exchange.route,
    kind: "embed",
    model: model.name,
    adapter: undefined,
    input: { kind: "tokens", prompts, tokenizer: model.tokenizer },
    choicesPerPrompt: 1,
    sampling: GREEDY,
    stopping: NOTHING_DRAWN,
    guidance: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    ...placementOf(body, exchange),
    pooling: undefined,
    normalize: true,
  };
  const answer = new EmbeddingAnswer(request, exchange, { base64: body.encoding_format === "base64" }, tools.answers);
  answer.attach(tools.dispatcher.start(request, answer));
}

function checkDimensions(dimensions: number | null | undefined, { name, features }: ServedModel): void {
  if (!dimensions || dimensions === features.embeddingSize) return;
  const detail = `${name} makes embeddings of ${features.embeddingSize} numbers and no others`;
  throw new StatorError("INVALID_FIELD", { field: "dimensions", detail }, { param: "dimensions" });
}

function checkInputs(prompts: readonly Uint32Array[], { name, contextTokens }: ServedModel): void {
  for (const prompt of prompts) {
    if (prompt.length === 0) {
      throw new StatorError("INVALID_FIELD", { field: "input", detail: "has no tokens" }, { param: "input" });
    }
    if (prompt.length <= contextTokens) continue;
    throw new StatorError(
      "CONTEXT_LENGTH",
      { promptTokens: prompt.length, model: name, contextTokens },
      { param: "input" },
    );
  }
}

/** Collects the embeddings of one request. */
class EmbeddingAnswer implements ServingSink, Work {
  readonly #request: ReadyAsk;
  readonly #exchange: Exchange;
  readonly #base64: boolean;
  readonly #tools: AnswerTools;
  readonly #printed: string[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  #over = false;

  constructor(request: ReadyAsk, exchange: Exchange, form: { base64: boolean }, tools: AnswerTools) {
    this.#request = request;
    this.#exchange = exchange;
    this.#base64 = form.base64;
    this.#tools = tools;
    this.#printed = new Array<string>(request.input.prompts.length).fill("");
  }

  attach(handle: ServingHandle): void {
    this.#handle = handle;
    if (this.#over) return;
    this.#exchange.work = this;
  }

  abort(error: StatorError): void {
    this.#handle?.cancel();
    this.onError(error);
  }

  closed(): void {
    if (this.#over) return;
    this.#over = true;
    this.#handle?.cancel();
  }

  onPlaced(placement: Placement): void {
    this.#placement = placement;
  }

  onTokens(): void {}

  onEmbedding(choice: number, values: Float32Array): void {
    if (this.#over) return;
    const bytes = viewBytes(values);
    this.#printed[choice] = this.#base64
      ? `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")}"`
      : printFloats(values);
  }

  onEnd(choice: number): void {
    if (this.#over || this.#printed[choice] !== "") return;
    this.onError(new StatorError("STREAM_LOST", { detail: "an input came back without its embedding" }));
  }

  onDone(usage: Usage): void {
    if (this.#over) return;
    this.#over = true;
    setPlacement(this.#exchange, this.#placement);
    this.#exchange.json(200, printEmbeddings(this.#request.model, this.#printed, usage.promptTokens));
    this.#tools.onUsage(this.#exchange.route, usage);
  }

  onError(error: StatorError): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange.fail(error);
  }
}
