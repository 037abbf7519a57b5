import { fromBinary } from "@bufbuild/protobuf";
import { type ModelInferResponse, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import type { JsonBounds } from "#lib/api/json-bounds";
import { writeInferMessage } from "#lib/api/kserve/infer-message";
import { type InferAnswer, printInferAnswer } from "#lib/api/kserve/json-answer";
import { type BinaryOutputs, type InferAddress, jsonBytes, readInferJson } from "#lib/api/kserve/json-request";
import { StatorError } from "#lib/base/errors";

/** A request for a model of tensors, on its way from HTTP. */
export interface TensorRequest {
  /** A ModelInferRequest. */
  readonly message: Uint8Array<ArrayBuffer>;
  /** How its answer is printed. */
  readonly binary: BinaryOutputs;
}

/** Bytes of a body that are JSON. Throws INVALID_FIELD for a header that says what cannot be. */
export function jsonOf(address: Pick<InferAddress, "headerLength">, chunks: readonly Uint8Array[]): number {
  return jsonBytes(
    address,
    chunks.reduce((sum, { length }) => sum + length, 0),
  );
}

/** Makes the message of a body that came in chunks, copying each tensor once. Throws what `readInferJson` does. */
export function readTensorBody(
  chunks: readonly Uint8Array[],
  address: InferAddress,
  bounds: JsonBounds | undefined,
): TensorRequest {
  const { json, behind } = cutChunks(chunks, jsonOf(address, chunks));
  const behindBytes = behind.reduce((sum, { length }) => sum + length, 0);
  const read = readInferJson(json, { ...address, behindBytes }, bounds);
  return { message: writeInferMessage(read, behind), binary: read.binary };
}

/** The first bytes in one piece, and the pieces of the others, which are borrowed. */
function cutChunks(chunks: readonly Uint8Array[], bytes: number) {
  const first: Uint8Array[] = [];
  const behind: Uint8Array[] = [];
  let left = bytes;
  for (const chunk of chunks) {
    const taken = Math.min(left, chunk.length);
    if (taken > 0) first.push(chunk.subarray(0, taken));
    if (taken < chunk.length) behind.push(chunk.subarray(taken));
    left -= taken;
  }
  const [only] = first;
  return { json: first.length === 1 && only ? only : Buffer.concat(first), behind };
}

/** Prints the answer of a worker. Throws CORRUPT for bytes that are none, and what `printInferAnswer` does. */
export function printTensorAnswer(bytes: Uint8Array, binary: BinaryOutputs): InferAnswer {
  return printInferAnswer(parseAnswer(bytes), binary);
}

function parseAnswer(bytes: Uint8Array): ModelInferResponse {
  try {
    return fromBinary(ModelInferResponseSchema, bytes);
  } catch (cause) {
    throw new StatorError("CORRUPT", { what: "An answer", detail: "it is no ModelInferResponse" }, { cause });
  }
}
