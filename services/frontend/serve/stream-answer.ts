import { asStatorError, StatorError } from "#lib/base/errors";
import type { AnswerFinish, AnswerPrinter, Placement, ServingLogprobs, Usage } from "#lib/serving/answer";
import type { ChoiceEnd, ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import type { AnswerPlan } from "../doors/door.ts";
import type { Reply, Work } from "../doors/reply.ts";
import type { Paced } from "./pacer.ts";
import { setPlacement, setPrefill } from "./placement.ts";
import { ToldChoice } from "./told-choice.ts";
import type { AnswerTools } from "./tools.ts";

const NEVER = Number.POSITIVE_INFINITY;
/** Events that one answer writes in one turn. */
const MOST_EVENTS = 64;

/**
 * A streamed answer. Tokens wait until the pacer's turn, and longer for a reader that is slow; a stop text among them is
 * found when it comes. The first token of a choice goes out at once; while the socket or the loop lags, later ones join
 * into one event.
 */
export class StreamAnswer<Printed> implements ServingSink, Paced, Work {
  rosterAt = -1;
  marked = false;
  dueMs = NEVER;
  readonly #plan: AnswerPlan;
  readonly #reply: Reply<Printed, never>;
  readonly #tools: AnswerTools;
  readonly #printer: AnswerPrinter<Printed>;
  readonly #choices: ToldChoice[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  /** Of the request, once every choice has ended. */
  #usage: Usage | undefined;
  #error: StatorError | undefined;
  /** Some token came. */
  #heard = false;
  #blocked = false;
  #over = false;
  #wroteMs: number;
  #out: Printed[] = [];

  constructor(
    plan: AnswerPlan,
    { printer, reply }: { readonly printer: AnswerPrinter<Printed>; readonly reply: Reply<Printed, never> },
    tools: AnswerTools,
  ) {
    this.#plan = plan;
    this.#reply = reply;
    this.#tools = tools;
    this.#wroteMs = reply.arrivedMs;
    this.#printer = printer;
    this.#choices = Array.from({ length: plan.choices }, (_, index) => new ToldChoice(index, plan));
  }

  /** Takes the running request; the client's leaving cancels it. Call right after it was started. */
  attach(handle: ServingHandle): void {
    this.#handle = handle;
    if (this.#over) return;
    this.#tools.pacer.add(this);
    this.#reply.work = this;
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
    if (choice.hear(said, logprobs)) this.#handle?.finishChoice(index, choice.said.counted);
    this.#heard ||= choice.said.counted > 0;
    this.#tools.pacer.mark(this);
  }

  onPromptLogprobs(index: number, position: number, logprobs: ServingLogprobs): void {
    this.#printer.prompt(index, position, logprobs);
  }

  onEmbedding(): void {}

  onEnd(index: number, end: ChoiceEnd): void {
    if (this.#over) return;
    if (this.#choices[index]!.hearEnd(end)) this.#tools.pacer.mark(this);
    else this.onError(new StatorError("STREAM_LOST", { detail: "the request was cancelled on this side" }));
  }

  onDone(usage: Usage): void {
    this.#usage = usage;
    this.#tools.pacer.mark(this);
  }

  onError(error: StatorError): void {
    this.#error ??= error;
    // What was held back came before the error, and nothing comes behind it.
    for (const { said } of this.#choices) if (said.counted > 0) said.close();
    this.#tools.pacer.mark(this);
  }

  flush(nowMs: number, lagging: boolean): number {
    if (this.#over || this.#blocked) return NEVER;
    const congested = lagging || this.#tools.limits.alwaysJoin || this.#reply.backlogBytes > 0;
    let dueMs = NEVER;
    for (const choice of this.#choices) dueMs = Math.min(dueMs, this.#flushChoice(choice, nowMs, congested));
    // A backlog goes out in portions, so that one slow reader costs the others no time.
    const more = this.#out.length >= MOST_EVENTS;
    if (!more && this.#error) return this.#fail(this.#error);
    if (!more && this.#usage) return this.#end(this.#usage);
    this.#send(nowMs, congested);
    if (more && !this.#blocked) this.#tools.pacer.mark(this);
    return dueMs;
  }

  crash(error: unknown): void {
    this.#finish();
    this.#handle?.cancel();
    const internal = asStatorError(error);
    this.#tools.log.error("answer failed", { requestId: this.#reply.requestId, error: internal });
    if (!this.#reply.answered) this.#reply.fail(internal);
    else {
      this.#print(this.#printer.failed(internal));
      if (this.#out.length > 0) this.#reply.writeAll(this.#out);
      this.#reply.endEvents(internal);
    }
  }

  tend(nowMs: number): void {
    if (this.#over || this.#blocked || nowMs - this.#wroteMs < this.#tools.limits.pingMs) return;
    this.#wroteMs = nowMs;
    this.#begin();
    if (!this.#reply.ping()) this.#block();
  }

  /** Prints what a choice has to say. Returns the moment until which it holds tokens back for others to join. */
  #flushChoice(choice: ToldChoice, nowMs: number, congested: boolean): number {
    const { joinTokens, joinMs } = this.#tools.limits;
    const { said, finish } = choice;
    const isEnding = finish !== undefined || this.#error !== undefined;
    if (choice.over || (said.drained && !isEnding)) return NEVER;
    const joins = congested && !isEnding && !this.#plan.scored && choice.begun;
    if (joins && said.waiting < joinTokens) {
      choice.waitingSinceMs ??= nowMs;
      const dueMs = choice.waitingSinceMs + joinMs;
      if (nowMs < dueMs) return dueMs;
    }
    choice.waitingSinceMs = undefined;
    if (this.#plan.scored) this.#tellScored(choice);
    else this.#tellText(choice);
    if (finish && said.drained) this.#tellEnd(choice, finish);
    return NEVER;
  }

  #tellText(choice: ToldChoice): void {
    const { said } = choice;
    while (!said.drained && this.#out.length < MOST_EVENTS) {
      const text = choice.takeLead() + said.take(this.#tools.limits.joinTokens);
      if (text !== "") this.#tell(choice, text);
    }
  }

  /** A token with its log-probabilities is an event of its own, and so is the prompt with its. */
  #tellScored(choice: ToldChoice): void {
    while (this.#out.length < MOST_EVENTS) {
      const part = choice.said.takeScored();
      if (!part) return;
      if (this.#plan.leads && !choice.begun) this.#tell(choice, choice.takeLead());
      choice.begun = true;
      this.#print(this.#printer.token(choice.index, part, this.#soFar()));
    }
  }

  #print(event: Printed | undefined): void {
    if (event !== undefined) this.#out.push(event);
  }

  #tell(choice: ToldChoice, text: string): void {
    choice.begun = true;
    this.#print(this.#printer.text(choice.index, text, this.#soFar()));
  }

  /** A choice begins with an event, whatever it says. */
  #tellEnd(choice: ToldChoice, finish: AnswerFinish): void {
    if (!choice.begun) this.#tell(choice, choice.takeLead());
    choice.over = true;
    this.#print(this.#printer.end(choice.index, finish, this.#soFar()));
  }

  /** When that was asked: the tokens that were told. At the end they are those of the record. */
  #soFar(): Usage | undefined {
    if (!this.#plan.soFar || !this.#handle) return undefined;
    let completionTokens = 0;
    for (const { said } of this.#choices) completionTokens += said.counted - said.waiting;
    return { ...this.#handle.usage, completionTokens };
  }

  /** Puts the printed events on the wire: one per write, and all in one write while something lags. */
  #send(nowMs: number, congested: boolean): void {
    const events = this.#out;
    if (events.length === 0) return;
    this.#out = [];
    this.#wroteMs = nowMs;
    this.#begin();
    if (this.#reply.firstTokenMs === undefined && this.#heard) this.#reply.firstTokenMs = nowMs;
    let taken = true;
    if (congested && events.length > 1) taken = this.#reply.writeAll(events);
    else for (const event of events) taken = this.#reply.write(event);
    if (!taken) this.#block();
  }

  #begin(): void {
    if (this.#reply.answered) return;
    setPlacement(this.#reply, this.#placement);
    this.#reply.openEvents();
  }

  #block(): void {
    this.#blocked = true;
    this.#reply.whenDrained(
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

  /** Before anything was told an error is a status. */
  #fail(error: StatorError): number {
    if (this.#out.length === 0 && !this.#reply.answered) {
      this.#finish();
      this.#reply.fail(error);
      return NEVER;
    }
    return this.#close(this.#printer.failed(error), error);
  }

  #end(usage: Usage): number {
    this.#close(this.#printer.done(usage), undefined);
    this.#tools.onUsage(this.#reply.route, usage);
    return NEVER;
  }

  /** The last events are one write. */
  #close(last: Printed | undefined, error: StatorError | undefined): number {
    this.#print(last);
    this.#finish();
    this.#send(this.#tools.clock.nowMs(), true);
    this.#reply.endEvents(error);
    return NEVER;
  }

  /** Nothing more is told or heard. */
  #finish(): void {
    this.#over = true;
    this.#tools.pacer.remove(this);
  }
}
