import type { RequestRecord } from "#gen/stator/frontend/v1/frontend_pb";
import { StatorError } from "#lib/base/errors";
import type { LinkFinish } from "#lib/link/link";
import type { TensorAsk } from "#lib/serving/ask";
import { type CarriedEffect, LifeRun, type RunOptions } from "./life-run.ts";
import type { TensorHandle, TensorPlace, TensorSink } from "./tensor-dispatcher.ts";

/** A model of tensors counts no tokens. */
const DONE: LinkFinish = {
  reason: "done",
  stopToken: undefined,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  error: undefined,
};

type Submit = Extract<CarriedEffect, { kind: "submit" }>;

/**
 * A request of tensors: its life is that of any other, of one choice, and whoever has the tensors sends them. It is
 * accepted when it is sent: from then on nobody knows whether it ran, and no other worker gets it.
 */
export class TensorRun extends LifeRun implements TensorHandle {
  readonly #sink: TensorSink;
  /** The way that it goes; undefined until it is handed over. */
  #going: Pick<TensorPlace, "transport" | "timeoutMs" | "traceparent"> | undefined;
  #error: StatorError | undefined;

  constructor(request: TensorAsk, about: { readonly sink: TensorSink; readonly options: RunOptions }) {
    super(request, about.options);
    this.#sink = about.sink;
  }

  answered(): void {
    this.tell({ kind: "answered", choice: 0, attempt: this.life.attempt });
  }

  finished(error?: StatorError): void {
    if (error) this.fail(error);
    else this.tell({ kind: "finished", choice: 0, attempt: this.life.attempt, finish: DONE });
  }

  protected carry(effect: CarriedEffect): void {
    // Later: whoever starts a request does not hear of it before it has the handle.
    if (effect.kind === "submit") this.options.clock.soon(() => this.#hand(effect));
    else if (effect.kind === "tell placed" && this.#going) this.#sink.onPlaced({ ...effect.placement, ...this.#going });
    else if (effect.kind === "error") this.#error = effect.error;
    // What runs at a worker is ended by whoever sent it, when it is over.
  }

  protected over({ outcome }: RequestRecord): void {
    if (outcome !== "cancelled") this.#sink.onOver(this.#error);
  }

  /** To its worker, if that still takes it: until then nothing was sent, and another one may have it. */
  #hand({ choice, attempt, target, deadlineMs: timeoutMs }: Submit): void {
    const { phase, attempt: current } = this.life.choices[choice] ?? {};
    if (phase !== "sent" || current !== attempt) return;
    const seat = this.options.seat(target.worker);
    if (seat?.phase === "ready" && seat.way) {
      this.#going = { transport: seat.way, timeoutMs, traceparent: this.life.request.traceparent };
      this.tell({ kind: "accepted", choice, attempt, cachedTokens: 0 });
      return;
    }
    const error = new StatorError("STREAM_LOST", { detail: "its session does not stand" });
    this.tell({ kind: "refused", choice, attempt, error });
  }
}
