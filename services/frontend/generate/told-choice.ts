import type { CompletionLogprobs } from "#lib/api/openai/logprobs";
import { Choice } from "#lib/serving/choice";
import type { ChoiceEnd, ServingLogprobs } from "#lib/serving/request";
import type { GenerationPlan } from "./plan.ts";
import { PromptScores } from "./prompt-scores.ts";

/** One choice as it is told: what goes before it, what it says, and why it ended. */
export class ToldChoice {
  readonly index: number;
  readonly said: Choice;
  /** Set when the stream told something of it. */
  begun = false;
  /** Set when the stream told why it ended. */
  over = false;
  /** When tokens that wait were first seen by a flush, in the clock's milliseconds; undefined when none wait. */
  waitingSinceMs: number | undefined;
  /** `finish_reason`, once it is known: no more tokens come then. */
  finish: "stop" | "length" | undefined;
  readonly #promptOnly: boolean;
  #lead: string;
  #prompt: PromptScores | undefined;

  constructor(index: number, { request, text, stops, echo, logprobs, promptOnly }: GenerationPlan) {
    const { includeStop, minTokens } = request.stopping;
    const prompt = Math.floor(index / request.choicesPerPrompt);
    this.index = index;
    this.#promptOnly = promptOnly;
    this.#lead = echo?.[prompt] ?? "";
    const scoredFrom = logprobs && [...this.#lead].length;
    this.said = new Choice({ text, stops, includeStop, minTokens, scoredFrom });
    this.#prompt = request.promptLogprobs ? new PromptScores(request.input.prompts[prompt]!, text) : undefined;
  }

  /** Takes tokens. True when they made it complete, so that its worker is to be stopped. */
  hear(tokens: Uint32Array, logprobs: ServingLogprobs | undefined): boolean {
    if (this.said.closed) return false;
    if (this.#promptOnly) this.said.close();
    else this.said.push(tokens, logprobs);
    if (!this.said.closed) return false;
    this.finish = this.#promptOnly ? "length" : "stop";
    return true;
  }

  /** Takes the end. False when it was cancelled by somebody else. */
  hearEnd({ reason, stopToken }: ChoiceEnd): boolean {
    if (this.said.closed) return true;
    if (reason === "cancelled") return false;
    this.said.close(reason === "stop_token" ? stopToken : undefined);
    const isCut = this.#promptOnly || (reason === "length" && this.said.stopText === undefined);
    this.finish = isCut ? "length" : "stop";
    return true;
  }

  /** Takes log-probabilities of the prompt from `position` on; borrows them. */
  hearPrompt(position: number, logprobs: ServingLogprobs): void {
    this.#prompt?.keep(position, logprobs);
  }

  /** The text before its first token, once. */
  takeLead(): string {
    const lead = this.#lead;
    this.#lead = "";
    return lead;
  }

  /** The printed log-probabilities of the prompt, once; undefined when nobody asked, and later. */
  takePrompt(): CompletionLogprobs | undefined {
    const taken = this.#prompt?.take();
    this.#prompt = undefined;
    return taken;
  }
}
