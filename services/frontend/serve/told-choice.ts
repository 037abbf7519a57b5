import type { AnswerFinish, ServingLogprobs } from "#lib/serving/answer";
import { Choice } from "#lib/serving/choice";
import type { ChoiceEnd } from "#lib/serving/dispatcher";
import type { AnswerPlan } from "../doors/door.ts";

/** One choice as it is told: what goes before it, what it says, and why it ended. */
export class ToldChoice {
  readonly index: number;
  readonly said: Choice;
  /** Set when something of it was told. */
  begun = false;
  /** Set when the stream told why it ended. */
  over = false;
  /** When tokens that wait were first seen by a flush, in the clock's milliseconds; undefined when none wait. */
  waitingSinceMs: number | undefined;
  /** Why it ended, once that is known: no more tokens come then. */
  finish: AnswerFinish | undefined;
  readonly #promptOnly: boolean;
  #lead: string;

  constructor(index: number, { ask, text, stops, leads, scored, promptOnly }: AnswerPlan) {
    const { includeStop, minTokens } = ask.stopping;
    const prompt = Math.floor(index / ask.choicesPerPrompt);
    this.index = index;
    this.#promptOnly = promptOnly;
    this.#lead = leads?.[prompt] ?? "";
    const scoredFrom = scored ? [...this.#lead].length : undefined;
    this.said = new Choice({ text, stops, includeStop, minTokens, scoredFrom });
  }

  /** Takes tokens, or a piece of text. True when they made it complete, so that its worker is to be stopped. */
  hear(said: Uint32Array | string, logprobs: ServingLogprobs | undefined): boolean {
    if (this.said.closed) return false;
    if (this.#promptOnly) this.said.close();
    else if (typeof said === "string") this.said.pushText(said);
    else this.said.push(said, logprobs);
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

  /** The text before its first token, once. */
  takeLead(): string {
    const lead = this.#lead;
    this.#lead = "";
    return lead;
  }
}
