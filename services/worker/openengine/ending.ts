import type { MessageInitShape } from "@bufbuild/protobuf";
import { type EngineErrorSchema, ErrorCode } from "#gen/openengine/v1/error_pb";
import { FinishReason, type GenerationFinishedSchema } from "#gen/openengine/v1/generation_pb";
import type { Reason, StatorError } from "#lib/base/errors";
import type { EngineFinish } from "#lib/engines/engine";

/** Why one output ended; `stopText` is the stop string that was found in it. */
export function finishOf(
  finish: EngineFinish,
  stopText: string | undefined,
): Omit<MessageInitShape<typeof GenerationFinishedSchema>, "$typeName" | "outputIndex"> {
  if (stopText !== undefined) {
    return { reason: FinishReason.STOP, stopMatch: { match: { case: "stopText", value: stopText } } };
  }
  const token = finish.stopToken ?? 0;
  switch (finish.reason) {
    case "stop_token":
      return { reason: FinishReason.STOP, stopMatch: { match: { case: "stopTokenId", value: token } } };
    case "length":
      return { reason: FinishReason.LENGTH };
    case "cancelled":
      return { reason: FinishReason.CANCELLED, message: "The request was aborted." };
    default:
      return { reason: FinishReason.STOP, stopMatch: { match: { case: "eosTokenId", value: token } } };
  }
}

const ERROR_CODES: Partial<Record<Reason, ErrorCode>> = {
  INVALID_ARGUMENT: ErrorCode.INVALID_ARGUMENT,
  INVALID_GRAMMAR: ErrorCode.INVALID_ARGUMENT,
  CONTEXT_LENGTH: ErrorCode.INVALID_ARGUMENT,
  UNSUPPORTED_FEATURE: ErrorCode.UNSUPPORTED_FEATURE,
  MODEL_NOT_FOUND: ErrorCode.MODEL_NOT_FOUND,
  OVERLOADED: ErrorCode.OVERLOADED,
  CANCELLED: ErrorCode.CANCELLED,
  DRAINING: ErrorCode.DRAINING,
};

/** The terminal failure of an accepted request. */
export function engineError(error: StatorError): Omit<MessageInitShape<typeof EngineErrorSchema>, "$typeName"> {
  const code = ERROR_CODES[error.reason] ?? ErrorCode.INTERNAL;
  return { code, message: error.message, retryable: error.row.retry !== "never" };
}
