import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type EmbeddingResultSchema,
  type EntryLogprobsSchema,
  type EntryTextSchema,
  FinishReason,
  type FinishSchema,
  type PromptLogprobsSchema,
  type Step,
  StepSchema,
} from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import type { EndReason, EngineFinish, EngineLogprobs, EnginePromptLogprobs, StepMetrics } from "#lib/engines/engine";
import { errorDetail } from "#lib/rpc/error-detail";
import type { TransferLoad } from "#lib/transfer/agent";
import type { LegEnd } from "./handoff/leg.ts";

const REASONS: Readonly<Record<EndReason, FinishReason>> = {
  end: FinishReason.END,
  stop_token: FinishReason.STOP_TOKEN,
  length: FinishReason.LENGTH,
  cancelled: FinishReason.CANCELLED,
  done: FinishReason.DONE,
  failed: FinishReason.UNSPECIFIED,
};

/** Gathers what one engine step made for one link into one message: arrays over entries, side lists for what is rare. */
export class StepBuilder {
  #handles = new Uint32Array(64);
  #counts = new Uint8Array(64);
  #tokens = new Uint32Array(64);
  #entries = 0;
  #tokenCount = 0;
  #finishes: MessageInitShape<typeof FinishSchema>[] = [];
  #logprobs: MessageInitShape<typeof EntryLogprobsSchema>[] = [];
  #promptLogprobs: MessageInitShape<typeof PromptLogprobsSchema>[] = [];
  #texts: MessageInitShape<typeof EntryTextSchema>[] = [];
  #embeddings: MessageInitShape<typeof EmbeddingResultSchema>[] = [];

  /** Adds tokens of one request; copies them. At most 255 in one step. */
  tokens(handle: number, tokens: Uint32Array): void {
    if (this.#entries === this.#handles.length) {
      this.#handles = grown(this.#handles, this.#entries + 1);
      const counts = new Uint8Array(this.#handles.length);
      counts.set(this.#counts);
      this.#counts = counts;
    }
    if (this.#tokenCount + tokens.length > this.#tokens.length) {
      this.#tokens = grown(this.#tokens, this.#tokenCount + tokens.length);
    }
    this.#handles[this.#entries] = handle;
    this.#counts[this.#entries++] = tokens.length;
    this.#tokens.set(tokens, this.#tokenCount);
    this.#tokenCount += tokens.length;
  }

  logprobs(handle: number, logprobs: EngineLogprobs): void {
    this.#logprobs.push({ handle, ...copied(logprobs) });
  }

  promptLogprobs(handle: number, logprobs: EnginePromptLogprobs): void {
    this.#promptLogprobs.push({ handle, position: logprobs.position, ...copied(logprobs) });
  }

  text(handle: number, text: string): void {
    this.#texts.push({ handle, text });
  }

  embedding(handle: number, values: Float32Array): void {
    this.#embeddings.push({ handle, values: viewBytes(values.slice()) });
  }

  finish(handle: number, end: EngineFinish, leg: LegEnd = {}): void {
    this.#finishes.push({
      ...leg,
      handle,
      reason: REASONS[end.reason],
      stopTokenId: end.stopToken,
      promptTokens: end.promptTokens,
      cachedTokens: end.cachedTokens,
      completionTokens: end.completionTokens,
      error: end.error && errorDetail(end.error),
    });
  }

  /** The message, which owns its memory; the builder is empty again. */
  take(metrics: StepMetrics, kept?: TransferLoad): Step {
    const single = this.#tokenCount === this.#entries;
    const step = create(StepSchema, {
      ...metrics,
      openSessions: kept?.openSessions ?? 0,
      pinnedBlocks: kept?.pinnedBlocks ?? 0,
      sessionsFull: kept?.isFull ?? false,
      step: BigInt(metrics.step),
      handles: viewBytes(this.#handles.slice(0, this.#entries)),
      tokens: viewBytes(this.#tokens.slice(0, this.#tokenCount)),
      finishes: this.#finishes,
      logprobs: this.#logprobs,
      promptLogprobs: this.#promptLogprobs,
      texts: this.#texts,
      embeddings: this.#embeddings,
    });
    if (!single) step.counts = this.#counts.slice(0, this.#entries);
    this.#entries = 0;
    this.#tokenCount = 0;
    this.#finishes = [];
    this.#logprobs = [];
    this.#promptLogprobs = [];
    this.#texts = [];
    this.#embeddings = [];
    return step;
  }
}

function copied({ chosen, topTokens, topValues }: EngineLogprobs) {
  const copy = (numbers: Float32Array | Uint32Array) => viewBytes(numbers.slice());
  return { chosen: copy(chosen), topTokenIds: copy(topTokens), topValues: copy(topValues) };
}

function grown(numbers: Uint32Array<ArrayBuffer>, least: number): Uint32Array<ArrayBuffer> {
  const bigger = new Uint32Array(Math.max(least, numbers.length * 2));
  bigger.set(numbers);
  return bigger;
}
