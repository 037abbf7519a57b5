import type { EngineFinish, GenerateRequest } from "#lib/engines/engine";
import type { TransferAgent } from "#lib/transfer/agent";
import { joinTokens, type Leg, type LegEnd } from "./leg.ts";

const NONE = new Uint32Array(0);

/** Nothing of the answer is drawn here, so nothing that is asked of it can end the prompt's computation. */
const ONE_TOKEN = {
  stopping: { maxTokens: 1, minTokens: 0, ignoreEos: true, stopTokens: NONE },
  guidance: undefined,
  topLogprobs: undefined,
  promptLogprobs: false,
} as const;

/** The leg that computes a prompt alone: whoever goes on draws all of the answer. */
export class PromptLeg implements Leg {
  readonly part = "prefill";
  readonly make: (id: number) => GenerateRequest;
  readonly #agent: Pick<TransferAgent, "keep">;
  readonly #request: GenerateRequest;

  /** @param request as it was asked, without tokens that were generated before */
  constructor(agent: Pick<TransferAgent, "keep">, request: GenerateRequest) {
    this.#agent = agent;
    this.#request = request;
    this.make = (id) => ({ ...request, ...ONE_TOKEN, id });
  }

  onRefused(): void {}

  onTokens(): void {}

  onFinish({ reason }: EngineFinish): LegEnd {
    if (reason !== "length") return {};
    const { promptTokens, generatedTokens, cacheSalt, adapter } = this.#request;
    const tokens = joinTokens(promptTokens, generatedTokens);
    return { session: this.#agent.keep({ tokens, firstTokens: NONE, cacheSalt, adapter }) };
  }
}
