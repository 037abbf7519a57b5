import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import { CancelMode, type KvSession } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import type { StepLogprobs, SubmitInit } from "#lib/link/link";
import type { RouteNote } from "#lib/routing/router";
import type { Usage } from "#lib/serving/answer";
import type { LinkAsk } from "#lib/serving/ask";
import type { ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import { tellGrowth } from "#lib/serving/growth";
import type { LifeEvent } from "#lib/serving/life-event";
import { usageOf } from "#lib/serving/record";
import { takePromptLogprobs, takeTokens } from "#lib/serving/step-life";
import { AskedForm } from "./asked-form.ts";
import { type AtAttempt, ChoiceListener, type FrameReader } from "./choice-listener.ts";
import { legOf, Rooms } from "./leg-submit.ts";
import { type CarriedEffect, LifeRun, type RunOptions } from "./life-run.ts";
import type { Seat } from "./seat.ts";
import { submitTemplate } from "./submit.ts";

/** A choice at a worker. */
interface Running {
  readonly seat: Seat;
  readonly handle: number;
  readonly attempt: number;
}

/** A request over the links to the workers: runs the effects of its life, the links on one side, the sink on the other. */
export class RequestRun extends LifeRun implements ServingHandle, FrameReader {
  readonly #sink: ServingSink;
  readonly #template: SubmitInit;
  readonly #form: AskedForm | undefined;
  readonly #running: (Running | undefined)[];
  /** Decode legs that began ahead of their prompts, and what became of them. */
  readonly #ahead: (Running | undefined)[] = [];
  readonly #rooms: Rooms;
  readonly #note = (note: RouteNote): void => this.note(note);

  /** `model`: the workers' name for it. Nothing runs before `start`. */
  constructor(request: LinkAsk, model: string, about: { readonly sink: ServingSink; readonly options: RunOptions }) {
    super(request, about.options);
    this.#sink = about.sink;
    this.#template = submitTemplate(request, model);
    this.#form = request.guidance && new AskedForm(request.guidance, about.options.compile);
    this.#running = this.life.choices.map(() => undefined);
    this.#rooms = new Rooms(about.options);
  }

  get usage(): Usage {
    return usageOf(this.life);
  }

  finishChoice(choice: number, tokens: number): void {
    this.tell({ kind: "finish choice", choice, tokens });
  }

  /** For the listener: what a worker sent for a choice. */
  tokens(
    at: AtAttempt,
    frame: { readonly tokens: Uint32Array; readonly start: number; readonly end: number },
    logprobs: StepLogprobs | undefined,
  ): void {
    const view = takeTokens(this.life, at, { ...frame, logprobs, nowMs: this.options.clock.nowMs() });
    if (!view) return;
    tellGrowth(this.life.choices[at.choice]!, view.length, this.#note);
    this.entered();
    try {
      this.#sink.onTokens(at.choice, view, logprobs);
    } catch (error) {
      this.broken(error);
    }
    this.left();
  }

  /** For the listener: log-probabilities of a choice's prompt came. */
  promptLogprobs(at: AtAttempt, position: number, { chosen, topTokens, topValues }: StepLogprobs): void {
    const count = chosen.length;
    const from = takePromptLogprobs(this.life, at, { position, count });
    if (from === undefined) return;
    const top = topTokens.length / count;
    const rest = {
      chosen: chosen.subarray(from),
      topTokens: topTokens.subarray(from * top),
      topValues: topValues.subarray(from * top),
    };
    this.entered();
    try {
      this.#sink.onPromptLogprobs?.(at.choice, position + from, rest);
    } catch (error) {
      this.broken(error);
    }
    this.left();
  }

  /** For the listener: a piece of a choice's text came. */
  text(at: AtAttempt, text: string): void {
    if (this.#sink.onText && this.life.request.input.kind === "text") {
      this.tell({ kind: "text", choice: at.choice, attempt: at.attempt, text });
      return;
    }
    const detail = "tokens are needed";
    this.fail(new StatorError("UNSUPPORTED_FEATURE", { feature: "Text from a worker", detail }));
  }

  protected carry(effect: CarriedEffect): void {
    switch (effect.kind) {
      case "tell placed":
        this.#sink.onPlaced(effect.placement);
        return;
      case "submit":
        this.#submit(effect);
        return;
      case "cancel": {
        const running = this.#find(effect);
        const mode = effect.mode === "kill" ? CancelMode.KILL : CancelMode.STOP;
        running?.seat.link?.cancel(running.handle, mode);
        return;
      }
      case "abandon": {
        const running = this.#find(effect);
        running?.seat.link?.abandon(running.handle);
        return;
      }
      case "release":
        this.#release(effect.worker, effect.session);
        return;
      case "tokens":
        this.#sink.onTokens(effect.choice, effect.tokens, effect.logprobs);
        return;
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
    }
  }

  protected over(record: RequestRecord): void {
    if (record.outcome === "finished") this.#sink.onDone(record);
  }

  #find({ choice, attempt }: AtAttempt): Running | undefined {
    const [running, ahead] = [this.#running[choice], this.#ahead[choice]];
    return running?.attempt === attempt ? running : ahead?.attempt === attempt ? ahead : undefined;
  }

  /** Of another incarnation it is gone already. */
  #release(worker: bigint, { sessionId, incarnation }: KvSession): void {
    const seat = this.options.seat(worker);
    if (seat?.record.incarnation === incarnation) seat.release(sessionId);
  }

  get #restOutputs(): SubmitInit["outputs"] {
    const { outputs } = this.#template;
    return outputs && { ...outputs, promptLogprobs: false };
  }

  #submit(effect: Extract<CarriedEffect, { kind: "submit" }>): void {
    const { choice, attempt, prompt, generated, deadlineMs } = effect;
    const seat = this.options.seat(effect.target.worker);
    try {
      if (!seat?.link) throw new StatorError("STREAM_LOST", { detail: "there is no link" });
      const guidance = this.#form?.for(seat.link.welcome?.features ?? []);
      if (guidance instanceof Promise) {
        this.#submitLater(effect, guidance);
        return;
      }
      const isAhead = effect.leg === "decode" && effect.room !== undefined;
      const submit: SubmitInit = {
        ...this.#template,
        ...legOf(effect, { seat, rooms: this.#rooms }),
        choice,
        rank: effect.target.rank,
        promptTokenIds: typeof prompt === "string" ? this.#template.promptTokenIds : viewBytes(prompt),
        promptText: typeof prompt === "string" ? prompt : "",
        generatedTokenIds: viewBytes(generated),
        deadlineMs,
        guidance,
        // Tokens come after the prompt's log-probabilities: who has one has them all, and who goes on behind one has none.
        outputs: generated.length > 0 || isAhead ? this.#restOutputs : this.#template.outputs,
      };
      const handle = seat.link.submit(submit, new ChoiceListener(this, choice, attempt));
      (isAhead ? this.#ahead : this.#running)[choice] = { seat, handle, attempt };
    } catch (error) {
      const refused: LifeEvent = { kind: "refused", choice, attempt, error: asStatorError(error) };
      // Later: whoever starts a request does not hear of it before it has the handle.
      this.options.clock.soon(() => this.tell(refused));
    }
  }

  /** When its form has been made, unless the choice is elsewhere by then. */
  #submitLater(effect: Extract<CarriedEffect, { kind: "submit" }>, made: Promise<void>): void {
    const { choice, attempt } = effect;
    made.then(
      () => {
        const { phase, attempt: current, ahead } = this.life.choices[choice] ?? {};
        if ((phase === "sent" && current === attempt) || ahead?.attempt === attempt) this.#submit(effect);
      },
      (error: unknown) => this.tell({ kind: "refused", choice, attempt, error: asStatorError(error) }),
    );
  }
}
