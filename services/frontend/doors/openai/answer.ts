import type { AnswerBody, FinishedChoice } from "#lib/api/openai/bodies";
import type { ChunkHead, ChunkPrinter } from "#lib/api/openai/chunks";
import { printErrorBody } from "#lib/api/openai/error-body";
import { printUsage } from "#lib/api/openai/usage";
import { DONE_EVENT, printEvent } from "#lib/api/sse";
import { printId } from "#lib/base/bytes";
import type { StatorError } from "#lib/base/errors";
import { printDecision } from "#lib/routing/decision";
import type {
  AnswerFinish,
  AnswerPrinter,
  AnswerToken,
  BodyPrinter,
  Placement,
  SaidChoice,
  ScoredText,
  ServingLogprobs,
  Usage,
} from "#lib/serving/answer";
import type { AnswerPlan, DoorPrinters } from "../door.ts";
import type { OpenAiForm } from "./ask.ts";

/** Prints the log-probabilities of one answer. */
export interface ScorePrinter {
  /** Those of a prompt; borrowed. */
  prompt(choice: number, position: number, logprobs: ServingLogprobs): void;
  /** Those of tokens; before the `first` ones of a choice those of its prompt may stand. */
  print(choice: number, tokens: readonly AnswerToken[], first: boolean): string;
}

/** What the routes of OpenAI print differently. */
export interface OpenAiShape {
  /** What the name of an answer begins with, such as chatcmpl. */
  readonly prefix: string;
  /** What prints the events of one answer. */
  chunks(head: ChunkHead): ChunkPrinter;
  /** Prints a whole answer. */
  body(answer: AnswerBody): string;
  /** What prints log-probabilities, for an answer that has them. */
  scores(plan: AnswerPlan): ScorePrinter;
}

/** Printers of a route that has this shape. */
export function createOpenAiPrinters(shape: OpenAiShape): DoorPrinters<OpenAiForm, string> {
  const create = (plan: AnswerPlan, form: OpenAiForm) => new OpenAiAnswer(plan, form, shape);
  return { events: create, body: create };
}

/** Prints an answer as OpenAI's API tells it: the events of a stream, or one body. */
class OpenAiAnswer implements AnswerPrinter<string>, BodyPrinter<string> {
  readonly #plan: AnswerPlan;
  readonly #form: OpenAiForm;
  readonly #shape: OpenAiShape;
  readonly #scores: ScorePrinter | undefined;
  /** Choices of which something was printed. */
  readonly #begun: boolean[];
  /** What each choice said, for a body. */
  readonly #said: FinishedChoice[] = [];
  #placement: Placement | undefined;
  /** Made for the first event: a body needs none. */
  #printer: ChunkPrinter | undefined;

  constructor(plan: AnswerPlan, form: OpenAiForm, shape: OpenAiShape) {
    this.#plan = plan;
    this.#form = form;
    this.#shape = shape;
    this.#scores = plan.scored ? shape.scores(plan) : undefined;
    this.#begun = new Array<boolean>(plan.choices).fill(false);
  }

  begin(placement: Placement): void {
    this.#placement = placement;
  }

  prompt(choice: number, position: number, logprobs: ServingLogprobs): void {
    this.#scores?.prompt(choice, position, logprobs);
  }

  text(choice: number, text: string, soFar: Usage | undefined): string {
    if (this.#begun[choice] && !soFar && !this.#scores) return this.#chunks.delta(choice, text);
    return this.#event(choice, text, { tokens: [], soFar });
  }

  token(choice: number, { text, token }: ScoredText, soFar: Usage | undefined): string {
    return this.#event(choice, text, { tokens: token ? [token] : [], soFar });
  }

  end(choice: number, finish: AnswerFinish, soFar: Usage | undefined): string {
    const usage = soFar && printUsage(soFar);
    return this.#chunks.event(choice, "", { finish, usage, logprobs: this.#scores?.print(choice, [], false) });
  }

  done(usage: Usage): string {
    return (this.#form.includeUsage ? this.#chunks.usage(printUsage(usage)) : "") + DONE_EVENT;
  }

  failed(error: StatorError): string {
    return printEvent(printErrorBody(error)) + DONE_EVENT;
  }

  choice(choice: number, { finish, text, tokens }: SaidChoice): void {
    this.#said[choice] = { text, finish, logprobs: this.#scores?.print(choice, tokens, true) };
  }

  body(usage: Usage): string {
    const explain = this.#form.explain ? explainPlacement(this.#placement) : undefined;
    return this.#shape.body({ ...this.#head(), choices: this.#said, usage: printUsage(usage), explain });
  }

  #head(): Pick<AnswerBody, "id" | "createdUnixSeconds" | "model"> {
    const { ask, createdUnixSeconds } = this.#plan;
    return { id: `${this.#shape.prefix}-${ask.requestId}`, createdUnixSeconds, model: ask.model };
  }

  get #chunks(): ChunkPrinter {
    this.#printer ??= this.#shape.chunks({ ...this.#head(), includeUsage: this.#form.includeUsage });
    return this.#printer;
  }

  #event(choice: number, text: string, more: { tokens: readonly AnswerToken[]; soFar: Usage | undefined }): string {
    const first = !this.#begun[choice];
    this.#begun[choice] = true;
    return this.#chunks.event(choice, text, {
      first,
      logprobs: this.#scores?.print(choice, more.tokens, first),
      usage: more.soFar && printUsage(more.soFar),
      explain: first && this.#form.explain ? explainPlacement(this.#placement) : undefined,
    });
  }
}

/** The object `stator` of an answer that asked for it. */
function explainPlacement(placement: Placement | undefined): string | undefined {
  if (!placement) return undefined;
  const { worker, attempt, cachedTokens } = placement;
  const decision = printDecision(placement.decision, placement.waitedMs);
  return JSON.stringify({ worker: printId(worker), attempt, cached_tokens: cachedTokens, decision });
}
