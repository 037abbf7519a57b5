import { printCompletionBody } from "#lib/api/openai/bodies";
import { createCompletionChunks } from "#lib/api/openai/chunks";
import { CompletionLogprobs } from "#lib/api/openai/logprobs";
import type { AnswerToken, ServingLogprobs } from "#lib/serving/answer";
import type { AnswerPlan } from "../door.ts";
import { createOpenAiPrinters, type ScorePrinter } from "../openai/answer.ts";
import { PromptScores } from "./prompt-scores.ts";

/** Prints the answers of POST /v1/completions. */
export const printers = createOpenAiPrinters({
  prefix: "cmpl",
  chunks: createCompletionChunks,
  body: printCompletionBody,
  scores: (plan) => new CompletionScores(plan),
});

/** Those of the prompt, where they were asked for, stand before those of the first tokens. */
class CompletionScores implements ScorePrinter {
  readonly #prompts: readonly PromptScores[];

  constructor({ ask, text, choices }: AnswerPlan) {
    const { input, choicesPerPrompt, promptLogprobs } = ask;
    const prompts = input.kind === "tokens" && promptLogprobs ? input.prompts : [];
    const promptOf = (choice: number) => prompts[Math.floor(choice / choicesPerPrompt)]!;
    const length = prompts.length > 0 ? choices : 0;
    this.#prompts = Array.from({ length }, (_, choice) => new PromptScores(promptOf(choice), text));
  }

  prompt(choice: number, position: number, logprobs: ServingLogprobs): void {
    this.#prompts[choice]?.keep(position, logprobs);
  }

  print(choice: number, tokens: readonly AnswerToken[], first: boolean): string {
    const printed = (first ? this.#prompts[choice]?.take() : undefined) ?? new CompletionLogprobs();
    printed.add(tokens);
    return printed.print();
  }
}
