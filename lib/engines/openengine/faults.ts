import { type EngineError, ErrorCode } from "#gen/openengine/v1/error_pb";
import { StatorError } from "#lib/base/errors";
import { asPeerSaid } from "#lib/rpc/error-detail";

/** An engine said something that its contract does not allow: the request that it is about fails, and nobody else's. */
export function contractFault(detail: string): StatorError {
  return new StatorError("ENGINE_FAILED", { detail: `it broke openengine.v1: ${detail}` });
}

/** The failure that an engine tells of as the last event of a request. A code that is newer than this counts as none. */
export function readEngineError({ code, message, retryable }: EngineError): StatorError {
  const detail = message.replace(/\.$/, "") || "it gave no reason";
  switch (code) {
    case ErrorCode.INVALID_ARGUMENT:
      return new StatorError("INVALID_ARGUMENT", { detail });
    case ErrorCode.UNSUPPORTED_FEATURE:
      return new StatorError("UNSUPPORTED_FEATURE", { feature: "What the request asks for", detail });
    case ErrorCode.MODEL_NOT_FOUND:
      return new StatorError("NOT_FOUND", { what: detail });
    case ErrorCode.OVERLOADED:
      return new StatorError("OVERLOADED", { what: "the engine" });
    case ErrorCode.DRAINING:
      return new StatorError("DRAINING", { what: "The engine" });
    default:
      // The others are about what we do and callers do not see: ids, roles and sessions.
      return new StatorError(retryable ? "ENGINE_FAILED" : "INTERNAL", { detail });
  }
}

/**
 * What a call that ended with a status means: whether the engine itself said so, and the error. A connection that is gone is
 * nobody's word: what was asked over it may have run.
 */
export function readStatus(error: StatorError): { readonly isSaid: boolean; readonly error: StatorError } {
  const said = asPeerSaid(error);
  if (said && said.reason !== "STREAM_LOST") return { isSaid: true, error: said };
  const detail = error.message.replace(/\.$/, "");
  return { isSaid: false, error: new StatorError("STREAM_LOST", { detail }, { cause: error }) };
}
