import type { Choice } from "./choice.ts";

/** What decides how many threads a worker computes with. */
export interface ThreadFacts {
  /** Cores of the machine. */
  readonly cores: number;
  /** Workers that share them. */
  readonly workers: number;
  /** Of the weights that are read for every token. */
  readonly weightBytes: number;
}

/**
 * Weights that pay for one thread. All threads of the library meet at a barrier after every operation, some hundred times
 * per token, and spin there: with a hundred megabytes of weights a second thread loses more at the barriers than it
 * takes off the work (SmolLM2-135M, 98 MB, is slower with two threads than with one).
 */
const THREAD_WEIGHT_BYTES = 256 * 2 ** 20;

/** How many threads a worker computes with: its share of the cores, and no more than the model is large enough for. */
export function chooseThreads({ cores, workers, weightBytes }: ThreadFacts): Choice {
  const share = Math.max(1, Math.floor(cores / workers));
  const useful = Math.max(1, Math.floor(weightBytes / THREAD_WEIGHT_BYTES));
  if (useful < share) return { value: useful, why: "so small a model is slower with more" };
  return { value: share, why: workers > 1 ? `${cores} cores for ${workers} workers` : `${cores} cores` };
}
