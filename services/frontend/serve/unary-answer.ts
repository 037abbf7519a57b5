import { asStatorError, StatorError } from "#lib/base/errors";
import type { AnswerToken, BodyPrinter, Placement, SaidChoice, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { ChoiceEnd, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import type { AnswerPlan } from "../doors/door.ts";
import type { Reply, Work } from "../doors/reply.ts";
import { setPlacement, setPrefill } from "./placement.ts";
import { ToldChoice } from "./told-choice.ts";
import type { AnswerTools } from "./tools.ts";

/** An answer that is told when it is complete. Without stop texts and log-probabilities its tokens are decoded once, at the end. */
export class UnaryAnswer<Whole> implements ServingSink, Work {
  readonly #plan: AnswerPlan;
  readonly #reply: Reply<never, Whole>;
  readonly #tools: AnswerTools;
  readonly #printer: BodyPrinter<Whole>;
  readonly #choices: ToldChoice[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  #over = false;

  constructor(
    plan: AnswerPlan,
    { printer, reply }: { readonly printer: BodyPrinter<Whole>; readonly reply: Reply<never, Whole> },
    tools: AnswerTools,
  ) {
    this.#plan = plan;
    this.#reply = reply;
    this.#tools = tools;
    this.#printer = printer;
    this.#choices = Array.from({ length: plan.choices }, (_, index) => new ToldChoice(index, plan));
  }

  /** Takes the running request; the client's leaving cancels it. Call right after it was started. */
  attach(handle: ServingHandle): void {
    this.#handle = handle;
    if (this.#over) return;
    this.#reply.work = this;
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
    setPrefill(this.#reply, placement);
    this.#printer.begin(placement);
  }

  onTokens(index: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void {
    this.#hear(index, tokens, logprobs);
  }

  onText(index: number, text: string): void {
    this.#hear(index, text, undefined);
  }

  #hear(index: number, said: Uint32Array | string, logprobs: ServingLogprobs | undefined): void {
    if (this.#over) return;
    const choice = this.#choices[index]!;
    if (!this.#plan.promptOnly) this.#reply.firstTokenMs ??= this.#tools.clock.nowMs();
    try {
      if (choice.hear(said, logprobs)) this.#handle?.finishChoice(index, choice.said.counted);
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
      this.#printer.choice(index, this.#fold(choice));
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
    this.#reply.fail(error);
  }

  /** A bug in the text of one answer must not reach whoever delivers tokens. */
  #broken(error: unknown): void {
    const internal = asStatorError(error);
    this.#tools.log.error("answer failed", { requestId: this.#reply.requestId, error: internal });
    this.#handle?.cancel();
    this.onError(internal);
  }

  /** Everything that a choice said. */
  #fold(choice: ToldChoice): SaidChoice {
    const { said, finish = "stop" } = choice;
    let text = choice.takeLead();
    const tokens: AnswerToken[] = [];
    if (!this.#plan.scored) text += said.take(Number.POSITIVE_INFINITY);
    for (let part = said.takeScored(); part; part = said.takeScored()) {
      text += part.text;
      if (part.token) tokens.push(part.token);
    }
    return { finish, text, tokens };
  }

  #answer(usage: Usage): void {
    this.#over = true;
    setPlacement(this.#reply, this.#placement);
    this.#reply.whole(this.#printer.body(usage));
    this.#tools.onUsage(this.#reply.route, usage);
  }
}
