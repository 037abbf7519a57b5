import type { AnswerToken, CompletionLogprobs } from "#lib/api/openai/logprobs";
import type { ChoiceEnd, ServingLogprobs } from "#lib/serving/request";
import { StopMatcher } from "#lib/text/stop";
import type { ModelText, TokenDecoder } from "../text/model-text.ts";
import type { GenerationPlan } from "./plan.ts";
import { PromptScores } from "./prompt-scores.ts";
import { ScoredTokens } from "./scored.ts";

const NO_TOKENS = new Uint32Array(0);

/** One choice while it is told: tokens that wait, their text so far, and how it ends. */
export class Choice {
  readonly index: number;
  /** Set when the choice was told about in the stream. */
  begun = false;
  /** When tokens that wait were first seen by a flush, in the clock's milliseconds; undefined when none wait. */
  waitingSinceMs: number | undefined;
  /** Set once: by the worker's finish. */
  end: ChoiceEnd | undefined;
  /** The answer is complete: a stop text was found, or it was closed. */
  complete = false;
  readonly #text: ModelText;
  readonly #decoder: TokenDecoder;
  readonly #stop: StopMatcher | undefined;
  readonly #scored: ScoredTokens | undefined;
  readonly #includeStop: boolean;
  #prompt: PromptScores | undefined;
  #echo: string;
  #waiting = NO_TOKENS;
  #waitingFrom = 0;
  #waitingTo = 0;
  /** Code points that were shown; counted for log-probabilities alone. */
  #shown = 0;

  constructor(index: number, plan: GenerationPlan) {
    this.index = index;
    this.#text = plan.text;
    this.#decoder = plan.text.createDecoder();
    this.#includeStop = plan.includeStop;
    this.#stop = plan.stops && new StopMatcher(plan.stops, plan.includeStop);
    const { prompts, choicesPerPrompt, promptLogprobs } = plan.request;
    const prompt = Math.floor(index / choicesPerPrompt);
    this.#echo = plan.echo?.[prompt] ?? "";
    this.#scored = plan.logprobs && new ScoredTokens(plan.text, [...this.#echo].length);
    this.#prompt = promptLogprobs ? new PromptScores(prompts[prompt]!, plan.text) : undefined;
  }

  /** Whether a stop text was found. */
  get stopped(): boolean {
    return this.#stop?.matched !== undefined;
  }

  /** Tokens that wait to become text. */
  get waiting(): number {
    return this.#waitingTo - this.#waitingFrom;
  }

  /** Keeps tokens: four bytes each, and their log-probabilities when they were asked for. Copies. */
  keep(tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void {
    if (this.complete) return;
    const needed = this.#waitingTo + tokens.length;
    if (needed > this.#waiting.length) {
      const bigger = new Uint32Array(Math.max(8, this.waiting * 2, this.waiting + tokens.length));
      bigger.set(this.#waiting.subarray(this.#waitingFrom, this.#waitingTo));
      this.#waitingTo -= this.#waitingFrom;
      this.#waitingFrom = 0;
      this.#waiting = bigger;
    }
    // Mostly one token: setting it costs a fifth of copying an array of one.
    if (tokens.length === 1) this.#waiting[this.#waitingTo] = tokens[0]!;
    else this.#waiting.set(tokens, this.#waitingTo);
    this.#waitingTo += tokens.length;
    if (logprobs) this.#scored?.keep(logprobs);
  }

  /** Keeps log-probabilities of the prompt from `position` on; borrows them. */
  keepPrompt(position: number, logprobs: ServingLogprobs): void {
    this.#prompt?.keep(position, logprobs);
  }

  /** The printed log-probabilities of the prompt, once; undefined when nobody asked, and later. */
  takePrompt(): CompletionLogprobs | undefined {
    const taken = this.#prompt?.take();
    this.#prompt = undefined;
    return taken;
  }

  /** Text that the next `most` waiting tokens add; `complete` is set when a stop text was found in it. */
  take(most: number): string {
    const from = this.#waitingFrom;
    const to = Math.min(this.#waitingTo, from + most);
    this.#waitingFrom = to;
    if (to === this.#waitingTo) this.#waitingFrom = this.#waitingTo = 0;
    const raw = this.#scored
      ? this.#scored.decode(this.#decoder, this.#waiting, from, to)
      : this.#decoder.push(this.#waiting, from, to);
    return this.#show(raw, false);
  }

  /** The last text, once every token was taken and the end is known. */
  finish(): string {
    let raw = this.#decoder.end();
    if (this.#includeStop && this.end?.stopToken !== undefined && this.end.reason === "stop_token") {
      raw += Buffer.from(this.#text.piece(this.end.stopToken)).toString("utf8");
    }
    return this.#show(raw, true);
  }

  /** Log-probabilities of the tokens whose text was shown since the last call; at the end, of all that are left. */
  takeScored(): readonly AnswerToken[] {
    return this.#scored?.take(this.stopped ? this.#shown : undefined) ?? [];
  }

  #show(raw: string, last: boolean): string {
    let text = raw;
    if (this.#stop) {
      text = this.#stop.push(raw);
      if (last && !this.stopped) text += this.#stop.end();
      if (this.stopped) {
        this.complete = true;
        this.#waitingFrom = this.#waitingTo = 0;
      }
    }
    if (last) this.complete = true;
    if (this.#scored) for (const _ of text) this.#shown++;
    if (this.#echo === "") return text;
    const echoed = this.#echo + text;
    this.#echo = "";
    return echoed;
  }
}
