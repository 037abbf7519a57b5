import { type FinishedChoice, printChatBody, printCompletionBody } from "#lib/api/openai/bodies";
import { type ChunkPrinter, createChatChunks, createCompletionChunks } from "#lib/api/openai/chunks";
import { printErrorBody } from "#lib/api/openai/error-body";
import { CompletionLogprobs, printChatLogprobs } from "#lib/api/openai/logprobs";
import { printUsage } from "#lib/api/openai/usage";
import { DONE_EVENT, printEvent } from "#lib/api/sse";
import type { StatorError } from "#lib/base/errors";
import type {
  AnswerFinish,
  AnswerPrinter,
  AnswerToken,
  Placement,
  ScoredText,
  ServingLogprobs,
  Usage,
} from "#lib/serving/answer";
import { explainPlacement } from "./outcome.ts";
import type { GenerationPlan } from "./plan.ts";
import { PromptScores } from "./prompt-scores.ts";

/** Prints an answer as chat and completions tell it: the events of a stream, or one body. */
export class OpenAiAnswer implements AnswerPrinter<string> {
  readonly #plan: GenerationPlan;
  readonly #prompts: readonly PromptScores[];
  /** Choices of which something was printed. */
  readonly #begun: boolean[];
  #placement: Placement | undefined;
  /** Made for the first event: a body needs none. */
  #printer: ChunkPrinter | undefined;

  constructor(plan: GenerationPlan) {
    const { request, choices, text } = plan;
    this.#plan = plan;
    this.#begun = new Array<boolean>(choices).fill(false);
    const { prompts } = request.input;
    const promptOf = (choice: number) => prompts[Math.floor(choice / request.choicesPerPrompt)]!;
    this.#prompts = request.promptLogprobs
      ? Array.from({ length: choices }, (_, choice) => new PromptScores(promptOf(choice), text))
      : [];
  }

  begin(placement: Placement): void {
    this.#placement = placement;
  }

  prompt(choice: number, position: number, logprobs: ServingLogprobs): void {
    this.#prompts[choice]?.keep(position, logprobs);
  }

  hasBegun(choice: number): boolean {
    return this.#begun[choice]!;
  }

  text(choice: number, text: string, soFar: Usage | undefined): string {
    if (this.#begun[choice] && !soFar && !this.#plan.logprobs) return this.#chunks.delta(choice, text);
    return this.#event(choice, text, { tokens: [], soFar });
  }

  token(choice: number, { text, token }: ScoredText, soFar: Usage | undefined): string {
    return this.#event(choice, text, { tokens: token ? [token] : [], soFar });
  }

  end(choice: number, finish: AnswerFinish, soFar: Usage | undefined): string {
    const usage = soFar && printUsage(soFar);
    return this.#chunks.event(choice, "", { finish, usage, logprobs: this.#logprobs([], undefined) });
  }

  done(usage: Usage): string {
    return (this.#plan.includeUsage ? this.#chunks.usage(printUsage(usage)) : "") + DONE_EVENT;
  }

  failed(error: StatorError): string {
    return printEvent(printErrorBody(error)) + DONE_EVENT;
  }

  /** What one choice says in a body. */
  finished(
    choice: number,
    finish: AnswerFinish,
    said: { text: string; tokens: readonly AnswerToken[] },
  ): FinishedChoice {
    return { text: said.text, finish, logprobs: this.#logprobs(said.tokens, this.#prompts[choice]?.take()) };
  }

  /** The whole answer as a body. */
  body(choices: readonly FinishedChoice[], usage: Usage): string {
    const { id, createdUnixSeconds, request, explain, form } = this.#plan;
    const placed = explain ? explainPlacement(this.#placement) : undefined;
    const body = { id, createdUnixSeconds, model: request.model, choices, usage: printUsage(usage), explain: placed };
    return form === "chat" ? printChatBody(body) : printCompletionBody(body);
  }

  get #chunks(): ChunkPrinter {
    if (this.#printer) return this.#printer;
    const { id, createdUnixSeconds, includeUsage, request, form } = this.#plan;
    const head = { id, createdUnixSeconds, model: request.model, includeUsage };
    this.#printer = form === "chat" ? createChatChunks(head) : createCompletionChunks(head);
    return this.#printer;
  }

  #event(choice: number, text: string, more: { tokens: readonly AnswerToken[]; soFar: Usage | undefined }): string {
    const first = !this.#begun[choice];
    this.#begun[choice] = true;
    return this.#chunks.event(choice, text, {
      first,
      logprobs: this.#logprobs(more.tokens, first ? this.#prompts[choice]?.take() : undefined),
      usage: more.soFar && printUsage(more.soFar),
      explain: first && this.#plan.explain ? explainPlacement(this.#placement) : undefined,
    });
  }

  /** `logprobs` of tokens in the route's form; in that of completions those of the prompt may stand before them. */
  #logprobs(tokens: readonly AnswerToken[], prompt: CompletionLogprobs | undefined): string | undefined {
    const { logprobs: form } = this.#plan;
    if (!form) return undefined;
    if (form === "chat") return printChatLogprobs(tokens);
    const printed = prompt ?? new CompletionLogprobs();
    printed.add(tokens);
    return printed.print();
  }
}
