import { type ChunkExtras, type ChunkPrinter, createChatChunks, createCompletionChunks } from "#lib/api/openai/chunks";
import { printErrorBody } from "#lib/api/openai/error-body";
import { printUsage } from "#lib/api/openai/usage";
import { DONE_EVENT, PING_COMMENT, printEvent } from "#lib/api/sse";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { ChoiceEnd, Placement, ServingHandle, ServingLogprobs, ServingSink } from "#lib/serving/request";
import type { Exchange, Work } from "../http/exchange.ts";
import { Choice } from "./choice.ts";
import { explainPlacement, finishReason, printLogprobs, promptEnd, setPlacement, sumUsage } from "./outcome.ts";
import type { Paced } from "./pacer.ts";
import type { GenerationPlan } from "./plan.ts";
import type { AnswerTools } from "./tools.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** Events that one answer writes in one turn. */
const MOST_EVENTS = 64;

/**
 * A streamed answer. Tokens are kept as ids until the pacer's turn; a reader that is slow leaves them so. The first
 * token of a choice goes out at once; while the socket or the loop lags, later ones join into one event.
 */
export class StreamAnswer implements ServingSink, Paced, Work {
  rosterAt = -1;
  marked = false;
  dueMs = NEVER;
  readonly #plan: GenerationPlan;
  readonly #exchange: Exchange;
  readonly #tools: AnswerTools;
  readonly #chunks: ChunkPrinter;
  readonly #choices: Choice[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  #error: StatorError | undefined;
  #open: number;
  #tokensSoFar = 0;
  #blocked = false;
  #over = false;
  #wroteMs: number;
  #out: string[] = [];

  constructor(plan: GenerationPlan, exchange: Exchange, tools: AnswerTools) {
    this.#plan = plan;
    this.#exchange = exchange;
    this.#tools = tools;
    this.#wroteMs = exchange.arrivedMs;
    const head = {
      id: plan.id,
      createdUnixSeconds: plan.createdUnixSeconds,
      model: plan.request.model,
      includeUsage: plan.includeUsage,
    };
    this.#chunks = plan.form === "chat" ? createChatChunks(head) : createCompletionChunks(head);
    this.#choices = Array.from({ length: plan.choices }, (_, index) => new Choice(index, plan));
    this.#open = plan.choices;
  }

  /** Takes the running request; the client's leaving cancels it. Call right after it was started. */
  attach(handle: ServingHandle): void {
    this.#handle = handle;
    if (this.#over) return;
    this.#tools.pacer.add(this);
    this.#exchange.work = this;
  }

  abort(error: StatorError): void {
    this.#handle?.cancel();
    this.onError(error);
  }

  closed(): void {
    if (this.#over) return;
    this.#finish();
    this.#handle?.cancel();
  }

  onPlaced(placement: Placement): void {
    this.#placement = placement;
  }

  onTokens(index: number, tokens: Uint32Array, logprobs: ServingLogprobs | undefined): void {
    const choice = this.#choices[index]!;
    if (choice.complete || this.#over || this.#plan.promptOnly) return;
    choice.keep(tokens, logprobs);
    this.#tokensSoFar += tokens.length;
    this.#tools.pacer.mark(this);
  }

  onPromptLogprobs(index: number, position: number, logprobs: ServingLogprobs): void {
    this.#choices[index]!.keepPrompt(position, logprobs);
  }

  onEmbedding(): void {}

  onEnd(index: number, end: ChoiceEnd): void {
    const choice = this.#choices[index]!;
    if (choice.end || this.#over) return;
    choice.end = this.#plan.promptOnly ? promptEnd(end) : end;
    this.#open--;
    if (end.reason === "cancelled" && !choice.complete) this.#error ??= cancelledElsewhere();
    this.#tools.pacer.mark(this);
  }

  onError(error: StatorError): void {
    this.#error ??= error;
    this.#tools.pacer.mark(this);
  }

  flush(nowMs: number, lagging: boolean): number {
    if (this.#over || this.#blocked) return NEVER;
    if (this.#error && !this.#exchange.answered) {
      this.#exchange.fail(this.#error);
      this.#finish();
      return NEVER;
    }
    const congested = lagging || this.#tools.limits.alwaysJoin || this.#exchange.backlogBytes > 0;
    let dueMs = NEVER;
    for (const choice of this.#choices) dueMs = Math.min(dueMs, this.#flushChoice(choice, nowMs, congested));
    // A backlog goes out in portions, so that one slow reader costs the others no time.
    const more = this.#out.length >= MOST_EVENTS;
    if (this.#error && !more) return this.#end(this.#error);
    if (this.#open === 0 && this.#choices.every((choice) => choice.complete)) return this.#end(undefined);
    this.#send(nowMs, congested);
    if (more && !this.#blocked) this.#tools.pacer.mark(this);
    return dueMs;
  }

  crash(error: unknown): void {
    this.#finish();
    this.#handle?.cancel();
    const internal = asStatorError(error);
    this.#tools.log.error("answer failed", { requestId: this.#exchange.requestId, error: internal });
    if (!this.#exchange.answered) this.#exchange.fail(internal);
    else {
      this.#exchange.write(printEvent(printErrorBody(internal)) + DONE_EVENT);
      this.#exchange.endEvents(internal);
    }
  }

  tend(nowMs: number): void {
    if (this.#over || this.#blocked || nowMs - this.#wroteMs < this.#tools.limits.pingMs) return;
    this.#out.push(PING_COMMENT);
    this.#send(nowMs, false);
  }

  /** Prints what a choice has to say. Returns the moment until which it holds tokens back for others to join. */
  #flushChoice(choice: Choice, nowMs: number, congested: boolean): number {
    const { joinTokens, joinMs } = this.#tools.limits;
    const ending = choice.end !== undefined && !choice.complete;
    if (choice.waiting === 0 && !ending) return NEVER;
    if (congested && choice.begun && !ending && !this.#error && !this.#plan.logprobs && choice.waiting < joinTokens) {
      choice.waitingSinceMs ??= nowMs;
      const dueMs = choice.waitingSinceMs + joinMs;
      if (nowMs < dueMs) return dueMs;
    }
    choice.waitingSinceMs = undefined;
    while (choice.waiting > 0 && !choice.complete && this.#out.length < MOST_EVENTS) {
      const text = choice.take(joinTokens);
      // The last text and the finish share an event.
      if (choice.complete) this.#stopFound(choice, text);
      else if (choice.waiting === 0 && choice.end && !this.#error) this.#printLast(choice, text + choice.finish());
      else if (text !== "") this.#print(choice, text);
    }
    if (choice.end && choice.waiting === 0 && !choice.complete && !this.#error)
      this.#printLast(choice, choice.finish());
    return NEVER;
  }

  #stopFound(choice: Choice, text: string): void {
    this.#printLast(choice, text);
    if (!choice.end) this.#handle?.finishChoice(choice.index);
  }

  #print(choice: Choice, text: string): void {
    const plain = choice.begun && !this.#plan.logprobs && !this.#plan.continuousUsage;
    this.#out.push(
      plain ? this.#chunks.delta(choice.index, text) : this.#chunks.event(choice.index, text, this.#extras(choice)),
    );
  }

  #printLast(choice: Choice, text: string): void {
    const finish = finishReason(choice);
    this.#out.push(this.#chunks.event(choice.index, text, { ...this.#extras(choice), finish }));
  }

  #extras(choice: Choice): ChunkExtras {
    const first = !choice.begun;
    choice.begun = true;
    const plan = this.#plan;
    return {
      first,
      logprobs: plan.logprobs && printLogprobs(plan.logprobs, choice),
      usage: plan.continuousUsage ? printUsage(this.#usageSoFar()) : undefined,
      explain: first && plan.explain ? explainPlacement(this.#placement) : undefined,
    };
  }

  #usageSoFar() {
    let promptTokens = 0;
    for (const prompt of this.#plan.request.prompts) promptTokens += prompt.length;
    return { promptTokens, cachedTokens: this.#placement?.cachedTokens ?? 0, completionTokens: this.#tokensSoFar };
  }

  /** Puts the printed events on the wire: one per write, and all in one write while something lags. */
  #send(nowMs: number, congested: boolean): void {
    const events = this.#out;
    if (events.length === 0) return;
    this.#out = [];
    this.#wroteMs = nowMs;
    if (!this.#exchange.answered) {
      setPlacement(this.#exchange, this.#placement);
      this.#exchange.openEvents();
    }
    if (this.#exchange.firstTokenMs === undefined && this.#tokensSoFar > 0) this.#exchange.firstTokenMs = nowMs;
    let taken = true;
    if (congested && events.length > 1) taken = this.#exchange.write(events.join(""));
    else for (const event of events) taken = this.#exchange.write(event);
    if (!taken) this.#block();
  }

  #block(): void {
    this.#blocked = true;
    this.#exchange.whenDrained(
      () => {
        this.#blocked = false;
        if (!this.#over) this.#tools.pacer.mark(this);
      },
      () => {
        if (this.#over) return;
        this.#finish();
        this.#handle?.cancel();
      },
    );
  }

  #end(error: StatorError | undefined): number {
    if (error) this.#out.push(printEvent(printErrorBody(error)));
    else if (this.#plan.includeUsage) this.#out.push(this.#chunks.usage(printUsage(this.#usage())));
    this.#out.push(DONE_EVENT);
    this.#finish();
    this.#send(this.#tools.clock.nowMs(), false);
    if (!error) this.#tools.onUsage(this.#exchange.route, this.#usage());
    this.#exchange.endEvents(error);
    return NEVER;
  }

  #usage() {
    return sumUsage(this.#choices, this.#plan.request.choicesPerPrompt);
  }

  /** Nothing more is told or heard. */
  #finish(): void {
    this.#over = true;
    this.#tools.pacer.remove(this);
  }
}

function cancelledElsewhere(): StatorError {
  return new StatorError("STREAM_LOST", { detail: "the request was cancelled on this side" });
}
