import type { StatorError } from "#lib/base/errors";
import { isDeath } from "#lib/link/death";
import type { LinkFinish, RequestListener, StepLogprobs } from "#lib/link/link";
import type { LifeEvent } from "#lib/serving/life-event";

/** A choice on one attempt. */
export interface AtAttempt {
  /** Its index in the request. */
  readonly choice: number;
  /** As the submit said it. */
  readonly attempt: number;
}

/** Who hears what workers say of its choices. Arrays are borrowed. */
export interface FrameReader {
  /** All that is rare. */
  tell(event: LifeEvent): void;
  /** Tokens came: those from `start` to before `end`. */
  tokens(
    at: AtAttempt,
    frame: { readonly tokens: Uint32Array; readonly start: number; readonly end: number },
    logprobs: StepLogprobs | undefined,
  ): void;
  /** Log-probabilities of the choice's prompt came. */
  promptLogprobs(at: AtAttempt, position: number, logprobs: StepLogprobs): void;
  /** A piece of its text came. */
  text(at: AtAttempt, text: string): void;
}

/** Hears the frames of one choice on one attempt. */
export class ChoiceListener implements RequestListener, AtAttempt {
  readonly #run: FrameReader;
  readonly choice: number;
  readonly attempt: number;

  constructor(run: FrameReader, choice: number, attempt: number) {
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
