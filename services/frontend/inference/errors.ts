import { create, toBinary } from "@bufbuild/protobuf";
import { ModelStreamInferResponseSchema } from "#gen/inference/infer_pb";
import { errorText, streamErrorText } from "#lib/api/kserve/error-text";
import { StatorError } from "#lib/base/errors";

/** The same error with the sentence that clients of the protocol know, for a status. */
export function tellError(error: StatorError): StatorError {
  const text = errorText(error);
  if (text === error.message) return error;
  const { reason, facts, param, retryAfterMs, cause } = error;
  const told = new StatorError(reason, facts, { cause, ...(param !== undefined && { param }), ...{ retryAfterMs } });
  told.message = text;
  return told;
}

/** The bytes of the message that tells on a stream what became of one request; the stream goes on. */
export function printStreamError(
  error: StatorError,
  { model, id }: { readonly model: string; readonly id: string },
): Uint8Array {
  const told = create(ModelStreamInferResponseSchema, {
    errorMessage: streamErrorText(error, id),
    inferResponse: { modelName: model, id },
  });
  return toBinary(ModelStreamInferResponseSchema, told);
}
