import { GREEDY } from "#lib/tokens/sampling";
import type { ServingRequest } from "./request.ts";

/** A greedy request for one choice with every default filled in, for canaries, tools and tests. */
export function plainRequest(more: Partial<ServingRequest> = {}): ServingRequest {
  return {
    requestId: "r1",
    route: "chat",
    kind: "generate",
    model: "m",
    tokenizer: "",
    prompts: [Uint32Array.of(1, 2, 3)],
    choicesPerPrompt: 1,
    sampling: { ...GREEDY, seed: 1n },
    maxTokens: 8,
    minTokens: 0,
    ignoreEos: false,
    stopTokens: new Uint32Array(0),
    grammar: undefined,
    topLogprobs: undefined,
    promptLogprobs: false,
    cacheSalt: "",
    priority: 0,
    pinnedWorker: undefined,
    deadlineMs: undefined,
    traceparent: undefined,
    pooling: undefined,
    normalize: true,
    ...more,
  };
}
