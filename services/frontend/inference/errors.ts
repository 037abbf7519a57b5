import { create, toBinary } from "@bufbuild/protobuf";
import { ModelStreamInferResponseSchema } from "#gen/inference/infer_pb";
import { streamErrorText } from "#lib/api/kserve/error-text";
import type { StatorError } from "#lib/base/errors";

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
