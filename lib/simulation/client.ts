import { StatorError } from "#lib/base/errors";
import type { Placement, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { ReadyAsk } from "#lib/serving/ask";
import type { ChoiceEnd, Dispatcher, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import type { SimulatedProcess } from "./process.ts";
import type { Trace } from "./trace.ts";

/** What a client got of one choice. */
interface Heard {
  readonly tokens: number[];
  /** Place in the prompt of the next log-probability. */
  scored: number;
  embeddings: number;
  end: ChoiceEnd | undefined;
  /** It had enough after so many tokens. */
  counted: number | undefined;
}

/** What is wrong with a client, or with its request. */
export interface ClientFlaws {
  /** It throws at each token, as a bug would. */
  readonly breaks?: boolean;
  /** Called at each place, which a deadly request does not survive. */
  readonly onPlaced?: (worker: bigint) => void;
}

/** Whoever sent one request: keeps what it hears, and what it should not have heard. */
export class Client implements ServingSink {
  readonly ask: ReadyAsk;
  readonly flaws: ClientFlaws;
  readonly choices: readonly Heard[];
  readonly placements: Placement[] = [];
  readonly complaints: string[] = [];
  readonly startedMs: number;
  endedMs: number | undefined;
  usage: Usage | undefined;
  error: StatorError | undefined;
  isCancelled = false;
  readonly #frontend: SimulatedProcess;
  readonly #trace: Trace;
  #handle: ServingHandle | undefined;

  constructor(ask: ReadyAsk, frontend: SimulatedProcess, flaws: ClientFlaws = {}) {
    this.ask = ask;
    this.flaws = flaws;
    this.#frontend = frontend;
    this.#trace = frontend.trace;
    this.startedMs = frontend.clock.nowMs();
    const heard = (): Heard => ({ tokens: [], scored: 1, embeddings: 0, end: undefined, counted: undefined });
    this.choices = Array.from({ length: ask.input.prompts.length * ask.choicesPerPrompt }, heard);
  }

  get isOver(): boolean {
    return this.endedMs !== undefined;
  }

  start(dispatcher: Dispatcher): void {
    const { kind, input, choicesPerPrompt, stopping, target, deadlineMs } = this.ask;
    const prompts = input.prompts.map(({ length }) => length);
    const shape = { prompts, choicesPerPrompt, maxTokens: stopping.maxTokens, worker: target?.worker, deadlineMs };
    this.#say("asks", { kind, ...shape, on: this.#frontend.name });
    this.#handle = dispatcher.start(this.ask, this);
    if (this.isOver || this.placements.length > 0) this.#complain("it heard something before it had the handle");
  }

  /** It leaves; after its end too, as a connection does. */
  cancel(): void {
    this.#say("leaves");
    if (!this.isOver) {
      this.isCancelled = true;
      this.#over();
    }
    this.#handle?.cancel();
  }

  /** Its frontend is gone, and nothing comes of its request any more. */
  lose(): void {
    if (!this.isOver) this.#over();
  }

  /** It has enough of a choice, with a part of what it heard. */
  finishChoice(index: number, share: number): void {
    const choice = this.choices[index];
    if (this.isOver || !choice || choice.end || this.ask.kind === "embed") return;
    choice.counted = Math.floor(choice.tokens.length * share);
    this.#say("has enough", { choice: index, tokens: choice.counted });
    this.#handle?.finishChoice(index, choice.counted);
  }

  onPlaced(placement: Placement): void {
    const { worker, attempt, cachedTokens } = placement;
    this.#say("placed", { worker, attempt, cachedTokens });
    this.#checkOpen("a place");
    if (attempt <= (this.placements.at(-1)?.attempt ?? 0)) this.#complain("it heard of an attempt twice");
    this.placements.push(placement);
    this.flaws.onPlaced?.(worker);
  }

  onTokens(index: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void {
    this.#say("tokens", { choice: index, tokens: [...tokens] });
    const choice = this.#open(index, "tokens");
    if (this.placements.length === 0) this.#complain("it heard tokens before a place");
    choice?.tokens.push(...tokens);
    const { topLogprobs } = this.ask;
    const scores = topLogprobs === undefined ? undefined : tokens.length;
    if (logprobs?.chosen.length !== scores) this.#complain("tokens and log-probabilities differ in number");
    if (logprobs && logprobs.topTokens.length !== tokens.length * topLogprobs!) {
      this.#complain("it heard other alternatives than it asked for");
    }
    if (this.flaws.breaks) throw new StatorError("INTERNAL", { detail: "the world broke it" });
  }

  onPromptLogprobs(index: number, position: number, { chosen }: ServingLogprobs): void {
    const choice = this.#open(index, "scores");
    if (!choice) return;
    if (choice.scored !== position) this.#complain(`scores from ${position} on in place of ${choice.scored}`);
    if (choice.tokens.length > 0) this.#complain("it heard scores of the prompt after tokens");
    choice.scored = position + chosen.length;
  }

  onEmbedding(index: number, values: Float32Array): void {
    this.#say("embedding", { choice: index, length: values.length });
    const choice = this.#open(index, "an embedding");
    if (choice) choice.embeddings++;
  }

  onEnd(index: number, end: ChoiceEnd): void {
    this.#say("end", { choice: index, reason: end.reason, stopToken: end.stopToken });
    const choice = this.#open(index, "an end");
    if (choice) choice.end = end;
  }

  onDone(usage: Usage): void {
    this.#say("done", { prompt: usage.promptTokens, completion: usage.completionTokens });
    this.#checkOpen("that it is done");
    if (this.choices.some(({ end }) => !end)) this.#complain("it is done before a choice was");
    this.usage = usage;
    this.#over();
  }

  onError(error: StatorError): void {
    this.#say("fails", { error, message: error.message });
    this.#checkOpen("an error");
    this.error = error;
    this.#over();
  }

  #open(index: number, what: string): Heard | undefined {
    this.#checkOpen(what);
    const choice = this.choices[index];
    if (!choice) this.#complain(`it heard ${what} of a choice that it did not ask for`);
    else if (choice.end) this.#complain(`it heard ${what} of choice ${index} after its end`);
    return choice;
  }

  #checkOpen(what: string): void {
    if (this.isOver) this.#complain(`it heard ${what} after its end`);
  }

  #over(): void {
    this.endedMs = this.#frontend.clock.nowMs();
  }

  #complain(what: string): void {
    this.complaints.push(`${this.ask.requestId}: ${what}`);
  }

  #say(phrase: string, fields: Record<string, unknown> = {}): void {
    if (this.#trace.isOn) this.#trace.say(this.ask.requestId, phrase, fields);
  }
}
