import type { FinishedChoice } from "#lib/api/openai/bodies";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { AnswerToken, Placement, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { ChoiceEnd, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import type { Exchange, Work } from "../http/exchange.ts";
import { OpenAiAnswer } from "./openai-answer.ts";
import { setPlacement } from "./outcome.ts";
import type { GenerationPlan } from "./plan.ts";
import { ToldChoice } from "./told-choice.ts";
import type { AnswerTools } from "./tools.ts";

/** An answer that is told when it is complete. Without stop texts and log-probabilities its tokens are decoded once, at the end. */
export class UnaryAnswer implements ServingSink, Work {
  readonly #plan: GenerationPlan;
  readonly #exchange: Exchange;
  readonly #tools: AnswerTools;
  readonly #printer: OpenAiAnswer;
  readonly #choices: ToldChoice[];
  /** What each choice said, once it ended. */
  readonly #bodies: FinishedChoice[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  #over = false;

  constructor(plan: GenerationPlan, exchange: Exchange, tools: AnswerTools) {
    this.#plan = plan;
    this.#exchange = exchange;
    this.#tools = tools;
    this.#printer = new OpenAiAnswer(plan);
    this.#choices = Array.from({ length: plan.choices }, (_, index) => new ToldChoice(index, plan));
    this.#bodies = new Array<FinishedChoice>(plan.choices);
  }

  /** Takes the running request; the client's leaving cancels it. Call right after it was started. */
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
    this.#printer.begin(placement);
  }

  onTokens(index: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void {
    if (this.#over) return;
    const choice = this.#choices[index]!;
    if (!this.#plan.promptOnly) this.#exchange.firstTokenMs ??= this.#tools.clock.nowMs();
    try {
      if (choice.hear(tokens, logprobs)) this.#handle?.finishChoice(index, choice.said.counted);
    } catch (error) {
      this.#broken(error);
    }
  }

  onPromptLogprobs(index: number, position: number, logprobs: ServingLogprobs): void {
    this.#printer.prompt(index, position, logprobs);
  }

  onEmbedding(): void {}

  onEnd(index: number, end: ChoiceEnd): void {
    if (this.#over) return;
    const choice = this.#choices[index]!;
    if (!choice.hearEnd(end)) {
      this.onError(new StatorError("STREAM_LOST", { detail: "the request was cancelled on this side" }));
      return;
    }
    try {
      this.#bodies[index] = this.#fold(choice);
    } catch (error) {
      this.#broken(error);
    }
  }

  onDone(usage: Usage): void {
    if (this.#over) return;
    try {
      this.#answer(usage);
    } catch (error) {
      this.#broken(error);
    }
  }

  onError(error: StatorError): void {
    if (this.#over) return;
    this.#over = true;
    this.#exchange.fail(error);
  }

  /** A bug in the text of one answer must not reach whoever delivers tokens. */
  #broken(error: unknown): void {
    const internal = asStatorError(error);
    this.#tools.log.error("answer failed", { requestId: this.#exchange.requestId, error: internal });
    this.#handle?.cancel();
    this.onError(internal);
  }

  /** Everything that a choice said. */
  #fold(choice: ToldChoice): FinishedChoice {
    const { index, said, finish = "stop" } = choice;
    let text = choice.takeLead();
    const tokens: AnswerToken[] = [];
    if (!this.#plan.logprobs) text += said.take(Number.POSITIVE_INFINITY);
    for (let part = said.takeScored(); part; part = said.takeScored()) {
      text += part.text;
      if (part.token) tokens.push(part.token);
    }
    return this.#printer.finished(index, finish, { text, tokens });
  }

  #answer(usage: Usage): void {
    this.#over = true;
    setPlacement(this.#exchange, this.#placement);
    this.#exchange.json(200, this.#printer.body(this.#bodies, usage));
    this.#tools.onUsage(this.#exchange.route, usage);
  }
}
