import type { ModelInferRequest, ModelInferResponse } from "#gen/inference/infer_pb";
import type { SharedRegions } from "./shared-regions.ts";

/**
 * Answers a request whose tensors may be in regions: what answers sees the request with its inputs, and what is told are
 * its answers with their outputs placed. A request that names no region goes through untouched. Throws what is wrong
 * with the regions, and what `answer` throws; whatever ends it, nothing is held any more.
 */
export async function* answerShared(
  regions: SharedRegions,
  request: ModelInferRequest,
  answer: (filled: ModelInferRequest) => AsyncIterable<ModelInferResponse>,
): AsyncGenerator<ModelInferResponse> {
  const hold = regions.hold(request);
  if (!hold) return yield* answer(request);
  try {
    const filled = await hold.fill(request);
    for await (const response of answer(filled)) yield await hold.place(response);
  } finally {
    hold.release();
  }
}
