import type { ServingRequest } from "./request.ts";

/** A greedy request for one choice with every default filled in, for canaries, tools and tests. */
export function plainRequest(more: Partial<ServingRequest> = {}): ServingRequest {
  return {
    requestId: "r1",
    route: "chat",
    kind: "generate",
    model: "m",
    prompts: [Uint32Array.of(1, 2, 3)],
    choicesPerPrompt: 1,
    sampling: {
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
      frequencyPenalty: 0,
      presencePenalty: 0,
      seed: 1n,
      biasTokens: new Uint32Array(0),
      biasValues: new Float32Array(0),
    },
    maxTokens: 8,
    minTokens: 0,
    ignoreEos: false,
    stopTokens: new Uint32Array(0),
    grammar: undefined,
    topLogprobs: undefined,
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
