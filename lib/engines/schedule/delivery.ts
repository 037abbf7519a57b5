import type { EngineFinish, EngineLogprobs, EnginePromptLogprobs, EngineStep, StepMetrics } from "../engine.ts";

/** Part of an array of tokens. */
export interface TokenRange {
  /** Borrowed. */
  readonly tokens: Uint32Array;
  /** Index of its first token. */
  readonly from: number;
  /** Index behind its last token. */
  readonly to: number;
}

/** What a step will tell the listener, collected entry by entry. */
export class Delivery {
  #ids: number[] = [];
  #counts: number[] = [];
  #tokens: number[] = [];
  #isPlain = true;
  #finishes: EngineFinish[] = [];
  #logprobs: EngineLogprobs[] = [];
  #promptLogprobs: EnginePromptLogprobs[] = [];
  #embeddings: { readonly id: number; readonly values: Float32Array }[] = [];

  get isEmpty(): boolean {
    const few = this.#promptLogprobs.length + this.#finishes.length + this.#embeddings.length;
    return this.#ids.length === 0 && few === 0;
  }

  /** Adds the tokens of one request; at most one call per request and step. */
  addTokens(id: number, { tokens, from, to }: TokenRange): void {
    this.#ids.push(id);
    this.#counts.push(to - from);
    for (let at = from; at < to; at++) this.#tokens.push(tokens[at]!);
    if (to - from !== 1) this.#isPlain = false;
  }

  addLogprobs(logprobs: EngineLogprobs): void {
    this.#logprobs.push(logprobs);
  }

  addPromptLogprobs(logprobs: EnginePromptLogprobs): void {
    this.#promptLogprobs.push(logprobs);
  }

  addFinish(finish: EngineFinish): void {
    this.#finishes.push(finish);
  }

  addEmbedding(id: number, values: Float32Array): void {
    this.#embeddings.push({ id, values });
  }

  /** The step with all that was added; the delivery is empty afterwards. */
  take(metrics: StepMetrics): EngineStep {
    const step: EngineStep = {
      metrics,
      ids: Uint32Array.from(this.#ids),
      counts: this.#isPlain ? undefined : Uint8Array.from(this.#counts),
      tokens: Uint32Array.from(this.#tokens),
      finishes: this.#finishes,
      logprobs: this.#logprobs,
      promptLogprobs: this.#promptLogprobs,
      embeddings: this.#embeddings,
    };
    this.#ids = [];
    this.#counts = [];
    this.#tokens = [];
    this.#isPlain = true;
    this.#finishes = [];
    this.#logprobs = [];
    this.#promptLogprobs = [];
    this.#embeddings = [];
    return step;
  }
}
