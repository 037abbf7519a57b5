import { create } from "@bufbuild/protobuf";
import { EmbeddingSchema, OutputsSchema, Pooling, RequestKind, type Sampling } from "#gen/stator/worker/v1/link_pb";
import { viewBytes } from "#lib/base/bytes";
import type { SubmitInit } from "#lib/link/link";
import type { ReadyAsk } from "#lib/serving/ask";

const POOLINGS = { mean: Pooling.MEAN, last: Pooling.LAST, cls: Pooling.CLS } as const;
const NO_BYTES = new Uint8Array(0);

/**
 * What all submits of a request have in common; the messages inside are shared by its choices and attempts. Its guidance
 * depends on the worker. What every request has is written out: `create` walks a table of the fields.
 */
export function submitTemplate(request: ReadyAsk, model: string): SubmitInit {
  const embed = request.kind === "embed";
  return {
    requestId: request.requestId,
    kind: embed ? RequestKind.EMBED : RequestKind.GENERATE,
    model: request.adapter ?? model,
    choice: 0,
    rank: undefined,
    promptTokenIds: NO_BYTES,
    promptText: "",
    generatedTokenIds: NO_BYTES,
    sampling: embed ? undefined : samplingOf(request),
    stopping: embed
      ? undefined
      : {
          $typeName: "stator.worker.v1.Stopping",
          maxTokens: request.stopping.maxTokens,
          minTokens: request.stopping.minTokens,
          ignoreEos: request.stopping.ignoreEos,
          stopTokenIds: viewBytes(request.stopping.stopTokens),
        },
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
    embedding: embed
      ? create(EmbeddingSchema, {
          pooling: request.pooling === undefined ? Pooling.UNSPECIFIED : POOLINGS[request.pooling],
          unnormalized: !request.normalize,
        })
      : undefined,
  };
}

function samplingOf({ sampling }: ReadyAsk): Sampling {
  const { biasTokens, biasValues, ...plain } = sampling;
  return {
    $typeName: "stator.worker.v1.Sampling",
    ...plain,
    biasTokenIds: viewBytes(biasTokens),
    biasValues: viewBytes(biasValues),
  };
}
