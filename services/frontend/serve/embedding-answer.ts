import { StatorError } from "#lib/base/errors";
import type { EmbeddingPrinter, Placement, Usage } from "#lib/serving/answer";
import type { ServingHandle, ServingSink } from "#lib/serving/dispatcher";
import type { AnswerPlan } from "../doors/door.ts";
import type { Reply, Work } from "../doors/reply.ts";
import { setPlacement } from "./placement.ts";
import type { AnswerTools } from "./tools.ts";

/** Collects the embeddings of one request. */
export class EmbeddingAnswer<Whole> implements ServingSink, Work {
  readonly #reply: Reply<never, Whole>;
  readonly #printer: EmbeddingPrinter<Whole>;
  readonly #tools: AnswerTools;
  /** Inputs whose embedding came. */
  readonly #told: boolean[];
  #handle: ServingHandle | undefined;
  #placement: Placement | undefined;
  #over = false;

  constructor(
    { choices }: AnswerPlan,
    { printer, reply }: { readonly printer: EmbeddingPrinter<Whole>; readonly reply: Reply<never, Whole> },
    tools: AnswerTools,
  ) {
    this.#reply = reply;
    this.#printer = printer;
    this.#tools = tools;
    this.#told = new Array<boolean>(choices).fill(false);
  }

  attach(handle: ServingHandle): void {
    this.#handle = handle;
    if (this.#over) return;
    this.#reply.work = this;
  }

  abort(error: StatorError): void {
    this.#handle?.cancel();
    this.onError(error);
  }

  closed(): void {
    if (this.#over) return;
    this.#over = true;
    this.#handle?.cancel();
  }

  onPlaced(placement: Placement): void {
    this.#placement = placement;
  }

  onTokens(): void {}

  onEmbedding(choice: number, values: Float32Array): void {
    if (this.#over) return;
    this.#told[choice] = true;
    this.#printer.embedding(choice, values);
  }

  onEnd(choice: number): void {
    if (this.#over || this.#told[choice]) return;
    this.onError(new StatorError("STREAM_LOST", { detail: "an input came back without its embedding" }));
  }

  onDone(usage: Usage): void {
    if (this.#over) return;
    this.#over = true;
    setPlacement(this.#reply, this.#placement);
    this.#reply.whole(this.#printer.body(usage));
    this.#tools.onUsage(this.#reply.route, usage);
  }

  onError(error: StatorError): void {
    if (this.#over) return;
    this.#over = true;
    this.#reply.fail(error);
  }
}
