import { type AnswerBody, printChatBody, printCompletionBody } from "#lib/api/openai/bodies";
import { printUsage } from "#lib/api/openai/usage";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { ChoiceEnd, Placement, ServingHandle, ServingLogprobs, ServingSink } from "#lib/serving/request";
import type { Exchange, Work } from "../http/exchange.ts";
import { Choice } from "./choice.ts";
import { explainPlacement, finishReason, printLogprobs, promptEnd, setPlacement, sumUsage } from "./outcome.ts";
import type { GenerationPlan } from "./plan.ts";
import type { AnswerTools } from "./tools.ts";

/** An answer that is told when it is complete. Without stop texts its tokens are decoded once, at the end. */
export class UnaryAnswer implements ServingSink, Work {
  readonly #plan: GenerationPlan;
  readonly #exchange: Exchange;
  readonly #tools: AnswerTools;
  readonly #choices: Choice[];
  readonly #texts: string[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  #open: number;
  #over = false;

  constructor(plan: GenerationPlan, exchange: Exchange, tools: AnswerTools) {
    this.#plan = plan;
    this.#exchange = exchange;
    this.#tools = tools;
    this.#choices = Array.from({ length: plan.choices }, (_, index) => new Choice(index, plan));
    this.#texts = new Array<string>(plan.choices).fill("");
    this.#open = plan.choices;
  }

  /** Takes the running request; the client's leaving cancels it. Call right after it was started. */
  attach(handle: ServingHandle): void {
    this.#handle = handle;
    if (this.#over) return;
    for (const choice of this.#choices) if (choice.complete && !choice.end) handle.finishChoice(choice.index);
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

  onTokens(index: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void {
    const choice = this.#choices[index]!;
    if (choice.complete || this.#over || this.#plan.promptOnly) return;
    this.#exchange.firstTokenMs ??= this.#tools.clock.nowMs();
    choice.keep(tokens, logprobs);
    if (!this.#plan.stops) return;
    this.#guard(() => {
      this.#texts[index] += choice.take(choice.waiting);
    });
    if (choice.complete) this.#handle?.finishChoice(index);
  }

  onPromptLogprobs(index: number, position: number, logprobs: ServingLogprobs): void {
    this.#choices[index]!.keepPrompt(position, logprobs);
  }

  onEmbedding(): void {}

  onEnd(index: number, end: ChoiceEnd): void {
    const choice = this.#choices[index]!;
    if (choice.end || this.#over) return;
    choice.end = this.#plan.promptOnly ? promptEnd(end) : end;
    if (end.reason === "cancelled" && !choice.complete) {
      this.onError(new StatorError("STREAM_LOST", { detail: "the request was cancelled on this side" }));
      return;
    }
    this.#guard(() => {
      if (choice.waiting > 0) this.#texts[index] += choice.take(choice.waiting);
      if (!choice.complete) this.#texts[index] += choice.finish();
      this.#open--;
      if (this.#open === 0) this.#answer();
    });
  }

  onError(error: StatorError): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange.fail(error);
  }

  /** A bug in the text of one answer must not reach whoever delivers tokens. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      const internal = asStatorError(error);
      this.#tools.log.error("answer failed", { requestId: this.#exchange.requestId, error: internal });
      this.#handle?.cancel();
      this.onError(internal);
    }
  }

  #answer(): void {
    this.#over = true;
    const plan = this.#plan;
    const usage = sumUsage(this.#choices, plan.request.choicesPerPrompt);
    const body: AnswerBody = {
      id: plan.id,
      createdUnixSeconds: plan.createdUnixSeconds,
      model: plan.request.model,
      choices: this.#choices.map((choice) => ({
        text: this.#texts[choice.index]!,
        finish: finishReason(choice),
        logprobs: plan.logprobs && printLogprobs(plan.logprobs, choice),
      })),
      usage: printUsage(usage),
      explain: plan.explain ? explainPlacement(this.#placement) : undefined,
    };
    setPlacement(this.#exchange, this.#placement);
    this.#exchange.json(200, plan.form === "chat" ? printChatBody(body) : printCompletionBody(body));
    this.#tools.onUsage(this.#exchange.route, usage);
  }
}
