import type { StatorError } from "#lib/base/errors";
import type { EngineFinish, StepMetrics } from "#lib/engines/engine";

/** The load of an engine that has not made a step. */
const NO_METRICS: StepMetrics = {
  step: 0,
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
};

/** The load after a step, told once more: what the step spent is not spent again. */
export function loadAfter(last: StepMetrics | undefined): StepMetrics {
  if (!last) return NO_METRICS;
  const { step, usedBlocks, totalBlocks, runningRequests, waitingRequests, waitingTokens } = last;
  return { ...NO_METRICS, step, usedBlocks, totalBlocks, runningRequests, waitingRequests, waitingTokens };
}

/** The end of a request that the engine does not know, or not any more. */
export function failedFinish(id: number, error: StatorError): EngineFinish {
  return { ...cancelledFinish(id), reason: "failed", error };
}

/** The end of a request that was cancelled before the engine knew it. */
export function cancelledFinish(id: number): EngineFinish {
  const counts = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  return { id, reason: "cancelled", stopToken: undefined, ...counts, error: undefined };
}
