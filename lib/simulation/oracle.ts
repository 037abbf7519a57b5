import { FakeClock } from "#lib/base/clock";
import { assert } from "#lib/base/errors";
import type { EndReason, Engine, GenerateRequest } from "#lib/engines/engine";
import type { MockModel } from "#lib/engines/mock/mock-engine";
import { silentLog } from "#lib/host/log";
import type { ReadyAsk } from "#lib/serving/ask";
import { createEngine, type Weights } from "./weights.ts";

/** The undisturbed answer to one choice. */
export interface Answer {
  /** All of it, without the token that ended it. */
  readonly tokens: readonly number[];
  /** Why it ended. */
  readonly reason: EndReason;
  /** The token that ended it; undefined where none did. */
  readonly stopToken: number | undefined;
}

/** What a model with some weights answers when nothing disturbs it: an engine of its own, one request at a time. */
export class Oracle {
  readonly #clock = new FakeClock();
  readonly #engine: Engine;
  #answer: { tokens: number[]; end: Answer | undefined } = { tokens: [], end: undefined };
  #nextId = 1;

  constructor(model: MockModel, weights: Weights) {
    const room = { maxRunning: 1, maxWaiting: 1, timing: { kind: "instant" } } as const;
    this.#engine = createEngine(model, weights, { clock: this.#clock, log: silentLog, ...room });
    this.#engine.listen({
      onStep: ({ tokens, finishes }) => {
        this.#answer.tokens.push(...tokens);
        for (const { reason, stopToken } of finishes) {
          this.#answer.end = { tokens: this.#answer.tokens, reason, stopToken };
        }
      },
      onKv() {},
      onFailure: (error) => {
        throw error;
      },
    });
  }

  /** The whole answer to a choice of an ask that generates. */
  answer(ask: ReadyAsk, choice: number): Answer {
    this.#answer = { tokens: [], end: undefined };
    this.#engine.submit(requestOf(ask, { id: this.#nextId++, choice }));
    this.#clock.settle();
    const { end } = this.#answer;
    assert(end, "an engine that nothing disturbs answers");
    return end;
  }
}

function requestOf(ask: ReadyAsk, { id, choice }: { id: number; choice: number }): GenerateRequest {
  return {
    kind: "generate",
    id,
    promptTokens: ask.input.prompts[Math.floor(choice / ask.choicesPerPrompt)]!,
    generatedTokens: new Uint32Array(),
    choice,
    sampling: ask.sampling,
    stopping: ask.stopping,
    guidance: undefined,
    topLogprobs: ask.topLogprobs,
    promptLogprobs: false,
    adapter: undefined,
    cacheSalt: "",
    priority: 0,
  };
}
