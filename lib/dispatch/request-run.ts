import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import { CancelMode } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import { asStatorError, StatorError } from "#lib/base/errors";
import { isDeath } from "#lib/link/death";
import type { LinkFinish, RequestListener, StepLogprobs, SubmitInit } from "#lib/link/link";
import { GROWTH_TOKENS } from "#lib/routing/router";
import type { Usage } from "#lib/serving/answer";
import type { LinkAsk } from "#lib/serving/ask";
import type { ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import type { Choice, LifeEvent } from "#lib/serving/life";
import { usageOf } from "#lib/serving/record";
import { takePromptLogprobs, takeTokens } from "#lib/serving/step-life";
import { AskedForm } from "./asked-form.ts";
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
export class RequestRun extends LifeRun implements ServingHandle {
  readonly #sink: ServingSink;
  readonly #template: SubmitInit;
  readonly #form: AskedForm | undefined;
  readonly #running: (Running | undefined)[];

  /** `model`: the workers' name for it. Nothing runs before `start`. */
  constructor(request: LinkAsk, model: string, about: { readonly sink: ServingSink; readonly options: RunOptions }) {
    super(request, about.options);
    this.#sink = about.sink;
    this.#template = submitTemplate(request, model);
    this.#form = request.guidance && new AskedForm(request.guidance, about.options.compile);
    this.#running = this.life.choices.map(() => undefined);
  }

  get usage(): Usage {
    return usageOf(this.life);
  }

  finishChoice(choice: number, tokens: number): void {
    this.tell({ kind: "finish choice", choice, tokens });
  }

  /** For the listener: what a worker sent for a choice. */
  tokens(
    at: { readonly choice: number; readonly attempt: number },
    frame: { readonly tokens: Uint32Array; readonly start: number; readonly end: number },
    logprobs: StepLogprobs | undefined,
  ): void {
    const view = takeTokens(this.life, at, { ...frame, nowMs: this.options.clock.nowMs() });
    if (!view) return;
    this.#grown(this.life.choices[at.choice]!, view.length);
    this.entered();
    try {
      this.#sink.onTokens(at.choice, view, logprobs);
    } catch (error) {
      this.broken(error);
    }
    this.left();
  }

  /** For the listener: log-probabilities of a choice's prompt came. */
  promptLogprobs(
    at: { readonly choice: number; readonly attempt: number },
    position: number,
    { chosen, topTokens, topValues }: StepLogprobs,
  ): void {
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
  text(at: { readonly choice: number; readonly attempt: number }, text: string): void {
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
    }
  }

  protected over(record: RequestRecord): void {
    if (record.outcome === "finished") this.#sink.onDone(record);
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
      this.options.clock.soon(() => this.tell(refused));
    }
  }

  /** When its form has been made, unless the choice is elsewhere by then. */
  #submitLater(effect: Extract<CarriedEffect, { kind: "submit" }>, made: Promise<void>): void {
    const { choice, attempt } = effect;
    made.then(
      () => {
        const { phase, attempt: current } = this.life.choices[choice] ?? {};
        if (phase === "sent" && current === attempt) this.#submit(effect);
      },
      (error: unknown) => this.tell({ kind: "refused", choice, attempt, error: asStatorError(error) }),
    );
  }

  /** Tells the router that a choice's prompt is computed, and of growth every few tokens: what it counts are blocks. */
  #grown({ index, generated, attemptFrom }: Choice, by: number): void {
    const tokens = generated.count;
    if (tokens - by === attemptFrom) this.note({ kind: "first token", choice: index });
    if (tokens % GROWTH_TOKENS < by) this.note({ kind: "tokens", choice: index, tokens });
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
