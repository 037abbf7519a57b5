import type { EngineStep, StepMetrics } from "../engine.ts";

/**
 * A step with what it made and how the engine is doing after it. What is left out is nothing: zeros for times and blocks,
 * from which nobody learns anything.
 */
export function plainStep(
  made: Partial<Omit<EngineStep, "metrics">>,
  load: Partial<StepMetrics> & Pick<StepMetrics, "step">,
): EngineStep {
  return {
    ids: new Uint32Array(0),
    counts: undefined,
    tokens: new Uint32Array(0),
    finishes: [],
    logprobs: [],
    promptLogprobs: [],
    embeddings: [],
    ...made,
    metrics: {
      durationUs: 0,
      prefillTokens: 0,
      prefillContextTokens: 0,
      decodeSequences: 0,
      decodeContextTokens: 0,
      usedBlocks: 0,
      totalBlocks: 0,
      runningRequests: 0,
      waitingRequests: 0,
      waitingTokens: 0,
      exportUs: 0,
      importUs: 0,
      ...load,
    },
  };
}
