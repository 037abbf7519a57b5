import { create } from "@bufbuild/protobuf";
import { EmbeddingSchema, OutputsSchema, Pooling, RequestKind, type Sampling } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import type { SubmitInit } from "#lib/link/link";
import type { LinkAsk } from "#lib/serving/ask";

const POOLINGS = { mean: Pooling.MEAN, last: Pooling.LAST, cls: Pooling.CLS } as const;
const KINDS = {
  generate: RequestKind.GENERATE,
  prefill: RequestKind.PREFILL,
  embed: RequestKind.EMBED,
  encode: RequestKind.ENCODE,
  score: RequestKind.SCORE,
} as const satisfies Record<LinkAsk["kind"], RequestKind>;
const NO_BYTES = new Uint8Array(0);

/**
 * What all submits of a request have in common; the messages inside are shared by its choices and attempts. Its guidance
 * depends on the worker. What every request has is written out: `create` walks a table of the fields.
 */
export function submitTemplate(request: LinkAsk, model: string): SubmitInit {
  const draws = request.kind === "generate" || request.kind === "prefill";
  return {
    requestId: request.requestId,
    kind: KINDS[request.kind],
    model: request.adapter ?? model,
    choice: 0,
    rank: undefined,
    promptTokenIds: NO_BYTES,
    promptText: "",
    generatedTokenIds: NO_BYTES,
    sampling: draws ? samplingOf(request) : undefined,
    stopping: draws
      ? {
          $typeName: "stator.worker.v1.Stopping",
          maxTokens: request.stopping.maxTokens,
          minTokens: request.stopping.minTokens,
          ignoreEos: request.stopping.ignoreEos,
          stopTokenIds: viewBytes(request.stopping.stopTokens),
        }
      : undefined,
    guidance: undefined,
    outputs:
      request.topLogprobs === undefined
        ? undefined
        : create(OutputsSchema, {
            logprobs: true,
            topLogprobs: request.topLogprobs,
            promptLogprobs: request.promptLogprobs,
          }),
    cacheSalt: request.cacheSalt,
    priority: request.priority,
    deadlineMs: undefined,
    traceparent: request.traceparent ?? "",
    embedding:
      request.kind === "embed"
        ? create(EmbeddingSchema, {
            pooling: request.pooling === undefined ? Pooling.UNSPECIFIED : POOLINGS[request.pooling],
            unnormalized: !request.normalize,
          })
        : undefined,
    session: undefined,
    room: undefined,
    media: [],
    engineExtras: NO_BYTES,
  };
}

function samplingOf({ sampling }: LinkAsk): Sampling {
  const { biasTokens, biasValues, ...plain } = sampling;
  return {
    $typeName: "stator.worker.v1.Sampling",
    ...plain,
    biasTokenIds: viewBytes(biasTokens),
    biasValues: viewBytes(biasValues),
  };
}
