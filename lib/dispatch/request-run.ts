import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import { CancelMode } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import type { Clock, Timer } from "#lib/base/clock";
import type { Rostered } from "#lib/base/collections";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { Log } from "#lib/host/log";
import { isDeath } from "#lib/link/death";
import type { LinkFinish, RequestListener, StepLogprobs, SubmitInit } from "#lib/link/link";
import { GROWTH_TOKENS, type RouteAnswer, type RouteNote, type Router, type Ticket } from "#lib/routing/router";
import type { Usage } from "#lib/serving/answer";
import type { LinkAsk } from "#lib/serving/ask";
import type { ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import {
  type Choice,
  createLife,
  type Life,
  type LifeEffect,
  type LifeEvent,
  type LifeLimits,
} from "#lib/serving/life";
import { usageOf } from "#lib/serving/record";
import { routeAsk } from "#lib/serving/route-ask";
import { stepLife, takePromptLogprobs, takeTokens } from "#lib/serving/step-life";
import { AskedForm, type Compile } from "./asked-form.ts";
import { submitTemplate } from "./submit.ts";
import type { WorkerSeat } from "./worker-seat.ts";

/** What a running request needs of the dispatcher. */
export interface RunOptions {
  /** Of its deadline and its waits. */
  readonly clock: Clock;
  /** Told when the request fails by a fault of ours. */
  readonly log: Log;
  /** How long it is tried, where that differs from the usual. */
  readonly limits: Partial<LifeLimits> | undefined;
  /** Decides where it runs. */
  readonly router: Router;
  /** For workers that take grammars alone. */
  readonly compile: Compile;
  /** Our end of a worker; undefined when there is none any more. */
  readonly seat: (worker: bigint) => WorkerSeat | undefined;
  /** It waits for a worker, or does so no longer. */
  readonly onWaiting: (run: RequestRun, waiting: boolean) => void;
  /** It has ended and its sink was told; called once, with what is written of it. */
  readonly onDone: (run: RequestRun, record: RequestRecord) => void;
}

/** One ask of a router. */
interface Asked {
  /** undefined while the router is being asked. */
  ticket: Ticket | undefined;
}

/** A choice at a worker. */
interface Running {
  readonly seat: WorkerSeat;
  readonly handle: number;
  readonly attempt: number;
}

/** Runs the effects of one life: the link to the workers on one side, the sink on the other. */
export class RequestRun implements ServingHandle, Rostered {
  /** Place among the open ones. */
  rosterAt = -1;
  readonly #options: RunOptions;
  readonly #sink: ServingSink;
  readonly #life: Life;
  readonly #template: SubmitInit;
  readonly #form: AskedForm | undefined;
  readonly #running: (Running | undefined)[];
  /** Who placed each choice, until it ended there. */
  readonly #asked: (Asked | undefined)[];
  /** What was asked and is not answered. */
  #asking: Asked | undefined;
  readonly #events: LifeEvent[] = [];
  /** The sink or an effect is being called: events wait, so that calls never nest. */
  #busy = false;
  #deadline: Timer | undefined;
  #wait: Timer | undefined;

  /** `model`: the workers' name for it. Nothing runs before `start`. */
  constructor(request: LinkAsk, model: string, about: { readonly sink: ServingSink; readonly options: RunOptions }) {
    const { clock, limits } = about.options;
    this.#options = about.options;
    this.#sink = about.sink;
    this.#life = createLife(request, { nowMs: clock.nowMs(), unixMs: clock.unixMs(), limits });
    this.#template = submitTemplate(request, model);
    this.#form = request.guidance && new AskedForm(request.guidance, about.options.compile);
    this.#running = this.#life.choices.map(() => undefined);
    this.#asked = this.#life.choices.map(() => undefined);
  }

  get usage(): Usage {
    return usageOf(this.#life);
  }

  /** Asks for a place. The sink hears nothing before the end of this turn. */
  start(): void {
    const { deadlineMs } = this.#life.request;
    if (deadlineMs !== undefined) {
      this.#deadline = this.#options.clock.after(deadlineMs, () => this.tell({ kind: "deadline" }));
    }
    // A first place is asked for at once, where a later one waits for the end of the turn.
    stepLife(this.#life, { kind: "start" }, this.#options.clock.nowMs());
    this.#ask();
  }

  cancel(): void {
    this.tell({ kind: "cancel" });
  }

  finishChoice(choice: number, tokens: number): void {
    this.tell({ kind: "finish choice", choice, tokens });
  }

  /** A worker is not to be waited for. */
  suspect(worker: bigint, error: StatorError): void {
    this.tell({ kind: "suspect", worker, error });
  }

  /** Ends with an error. */
  fail(error: StatorError): void {
    this.tell({ kind: "fail", error });
  }

  /** Looks for a worker now, if it is waiting for one. */
  wake(): void {
    if (!this.#wait) return;
    this.#wait.cancel();
    this.#search();
  }

  /** For the listener: what a worker sent for a choice. */
  tokens(
    at: { readonly choice: number; readonly attempt: number },
    frame: { readonly tokens: Uint32Array; readonly start: number; readonly end: number },
    logprobs: StepLogprobs | undefined,
  ): void {
    const view = takeTokens(this.#life, at, { ...frame, nowMs: this.#options.clock.nowMs() });
    if (!view) return;
    this.#grown(this.#life.choices[at.choice]!, view.length);
    this.#busy = true;
    try {
      this.#sink.onTokens(at.choice, view, logprobs);
    } catch (error) {
      this.#broken(error);
    }
    this.#busy = false;
    if (this.#events.length > 0) this.#drain();
  }

  /** For the listener: log-probabilities of a choice's prompt came. */
  promptLogprobs(
    at: { readonly choice: number; readonly attempt: number },
    position: number,
    { chosen, topTokens, topValues }: StepLogprobs,
  ): void {
    const count = chosen.length;
    const from = takePromptLogprobs(this.#life, at, { position, count });
    if (from === undefined) return;
    const top = topTokens.length / count;
    const rest = {
      chosen: chosen.subarray(from),
      topTokens: topTokens.subarray(from * top),
      topValues: topValues.subarray(from * top),
    };
    this.#busy = true;
    try {
      this.#sink.onPromptLogprobs?.(at.choice, position + from, rest);
    } catch (error) {
      this.#broken(error);
    }
    this.#busy = false;
    if (this.#events.length > 0) this.#drain();
  }

  /** For the listener: a piece of a choice's text came. */
  text(at: { readonly choice: number; readonly attempt: number }, text: string): void {
    if (this.#sink.onText && this.#life.request.input.kind === "text") {
      this.tell({ kind: "text", choice: at.choice, attempt: at.attempt, text });
      return;
    }
    const detail = "tokens are needed";
    this.fail(new StatorError("UNSUPPORTED_FEATURE", { feature: "Text from a worker", detail }));
  }

  /** For the listener: something happened. */
  tell(event: LifeEvent): void {
    this.#events.push(event);
    if (!this.#busy) this.#drain();
  }

  #drain(): void {
    this.#busy = true;
    for (let event = this.#events.shift(); event; event = this.#events.shift()) {
      for (const effect of stepLife(this.#life, event, this.#options.clock.nowMs())) {
        try {
          this.#run(effect);
        } catch (error) {
          this.#broken(error);
        }
      }
    }
    this.#busy = false;
  }

  /** A bug of whoever receives must not reach the link, which carries everybody's requests. */
  #broken(error: unknown): void {
    this.#options.log.error("request failed inside", { request: this.#life.request.requestId, error });
    this.#events.push({ kind: "fail", error: asStatorError(error) });
  }

  #run(effect: LifeEffect): void {
    switch (effect.kind) {
      case "place":
        this.#place(effect.delayMs);
        return;
      case "note":
        this.#note(effect.note);
        return;
      case "tell placed":
        this.#sink.onPlaced(effect.placement);
        return;
      case "submit":
        this.#submit(effect);
        return;
      case "cancel": {
        const running = this.#running[effect.choice];
        const mode = effect.mode === "kill" ? CancelMode.KILL : CancelMode.STOP;
        if (running?.attempt === effect.attempt) running.seat.link?.cancel(running.handle, mode);
        return;
      }
      case "abandon": {
        const running = this.#running[effect.choice];
        if (running?.attempt === effect.attempt) running.seat.link?.abandon(running.handle);
        return;
      }
      case "text":
        this.#sink.onText?.(effect.choice, effect.text);
        return;
      case "embedding":
        this.#sink.onEmbedding(effect.choice, effect.values);
        return;
      case "end":
        this.#sink.onEnd(effect.choice, effect.end);
        return;
      case "error":
        this.#sink.onError(effect.error);
        return;
      case "done":
        this.#done(effect.record);
        if (effect.record.outcome === "finished") this.#sink.onDone(effect.record);
    }
  }

  get #restOutputs(): SubmitInit["outputs"] {
    const { outputs } = this.#template;
    return outputs && { ...outputs, promptLogprobs: false };
  }

  #submit(effect: Extract<LifeEffect, { kind: "submit" }>): void {
    const { choice, attempt, prompt, generated, deadlineMs } = effect;
    const seat = this.#options.seat(effect.target.worker);
    try {
      if (!seat?.link) throw new StatorError("STREAM_LOST", { detail: "there is no link" });
      const guidance = this.#form?.for(seat.link.welcome?.features ?? []);
      if (guidance instanceof Promise) {
        this.#submitLater(effect, guidance);
        return;
      }
      const submit: SubmitInit = {
        ...this.#template,
        choice,
        rank: effect.target.rank,
        promptTokenIds: typeof prompt === "string" ? this.#template.promptTokenIds : viewBytes(prompt),
        promptText: typeof prompt === "string" ? prompt : "",
        generatedTokenIds: viewBytes(generated),
        deadlineMs,
        guidance,
        // Tokens come after the prompt's log-probabilities: who has one has them all.
        outputs: generated.length > 0 ? this.#restOutputs : this.#template.outputs,
      };
      const handle = seat.link.submit(submit, new ChoiceListener(this, choice, attempt));
      this.#running[choice] = { seat, handle, attempt };
    } catch (error) {
      const refused: LifeEvent = { kind: "refused", choice, attempt, error: asStatorError(error) };
      // Later: whoever starts a request does not hear of it before it has the handle.
      this.#options.clock.soon(() => this.tell(refused));
    }
  }

  /** When its form has been made, unless the choice is elsewhere by then. */
  #submitLater(effect: Extract<LifeEffect, { kind: "submit" }>, made: Promise<void>): void {
    const { choice, attempt } = effect;
    made.then(
      () => {
        const { phase, attempt: current } = this.#life.choices[choice] ?? {};
        if (phase === "sent" && current === attempt) this.#submit(effect);
      },
      (error: unknown) => this.tell({ kind: "refused", choice, attempt, error: asStatorError(error) }),
    );
  }

  #place(delayMs: number): void {
    if (delayMs === 0) {
      // At the end of the turn: a worker that was lost tells its requests one by one.
      this.#options.clock.soon(() => this.#search());
      return;
    }
    this.#options.onWaiting(this, true);
    this.#wait = this.#options.clock.after(delayMs, () => this.#search());
  }

  #search(): void {
    if (this.#wait) this.#options.onWaiting(this, false);
    this.#wait = undefined;
    if (this.#life.done) return;
    this.#ask();
  }

  #ask(): void {
    const ask = routeAsk(this.#life);
    const asked: Asked = { ticket: undefined };
    this.#asking = asked;
    asked.ticket = this.#options.router.place(ask, (answer) => this.#answered(asked, answer));
  }

  #answered(asked: Asked, answer: RouteAnswer): void {
    // What was withdrawn is not answered.
    if (this.#asking !== asked) return;
    this.#asking = undefined;
    if (answer.kind === "placed") {
      for (const { choices } of answer.places) for (const choice of choices) this.#asked[choice] = asked;
      this.tell(answer);
      return;
    }
    // During the call: whoever starts a request does not hear its end before it has the handle.
    const isEnd = answer.final || answer.error.row.retry !== "backoff";
    if (isEnd && !asked.ticket) this.#options.clock.soon(() => this.tell(answer));
    else this.tell(answer);
  }

  /** Tells the router that a choice's prompt is computed, and of growth every few tokens: what it counts are blocks. */
  #grown({ index, generated, attemptFrom }: Choice, by: number): void {
    const tokens = generated.count;
    if (tokens - by === attemptFrom) this.#note({ kind: "first token", choice: index });
    if (tokens % GROWTH_TOKENS < by) this.#note({ kind: "tokens", choice: index, tokens });
  }

  #note(note: RouteNote): void {
    this.#asked[note.choice]?.ticket?.note(note);
    if (note.kind === "ended") this.#asked[note.choice] = undefined;
  }

  #done(record: RequestRecord): void {
    this.#deadline?.cancel();
    if (this.#wait) this.#options.onWaiting(this, false);
    this.#wait?.cancel();
    this.#wait = undefined;
    this.#asking?.ticket?.cancel();
    this.#asking = undefined;
    this.#options.router.done(this.#life);
    this.#options.onDone(this, record);
  }
}

/** Hears the frames of one choice on one attempt. */
class ChoiceListener implements RequestListener {
  readonly #run: RequestRun;
  readonly choice: number;
  readonly attempt: number;

  constructor(run: RequestRun, choice: number, attempt: number) {
    this.#run = run;
    this.choice = choice;
    this.attempt = attempt;
  }

  onAccepted(cachedTokens: number): void {
    this.#run.tell({ kind: "accepted", choice: this.choice, attempt: this.attempt, cachedTokens });
  }

  onTokens(tokens: Uint32Array, start: number, end: number, logprobs: StepLogprobs | undefined): void {
    this.#run.tokens(this, { tokens, start, end }, logprobs);
  }

  onPromptLogprobs(position: number, logprobs: StepLogprobs): void {
    this.#run.promptLogprobs(this, position, logprobs);
  }

  onText(text: string): void {
    this.#run.text(this, text);
  }

  onEmbedding(values: Float32Array): void {
    this.#run.tell({ kind: "embedding", choice: this.choice, attempt: this.attempt, values });
  }

  onFinish(finish: LinkFinish): void {
    this.#run.tell({ kind: "finished", choice: this.choice, attempt: this.attempt, finish });
  }

  onLost(error: StatorError, accepted: boolean): void {
    const { choice, attempt } = this;
    this.#run.tell({ kind: "lost", choice, attempt, error, accepted, died: isDeath(error) });
  }
}
