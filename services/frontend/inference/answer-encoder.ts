import { create, toBinary } from "@bufbuild/protobuf";
import { type ModelInferResponse, ModelInferResponseSchema } from "#gen/inference/infer_pb";

/** Tag of `raw_output_contents`, the last field of an answer. */
const RAW = (6 << 3) | 2;
/** Tag of `infer_response` in a message of a stream. */
const RESPONSE = (2 << 3) | 2;

/**
 * Makes the answers to one request to bytes. Those of a stream differ in their contents alone as a rule: what is before
 * them is made once and copied as long as the answers share their outputs and parameters.
 */
export class AnswerEncoder {
  #like: ModelInferResponse | undefined;
  /** Everything but the raw contents of `#like`. */
  #head = new Uint8Array(0);

  /** A ModelInferResponse. */
  whole(response: ModelInferResponse): Uint8Array {
    const length = this.#measure(response);
    const bytes = Buffer.allocUnsafe(length);
    this.#write(response, bytes, 0);
    return bytes;
  }

  /** A ModelStreamInferResponse with nothing but the answer. */
  onStream(response: ModelInferResponse): Uint8Array {
    const length = this.#measure(response);
    const bytes = Buffer.allocUnsafe(1 + varintLength(length) + length);
    bytes[0] = RESPONSE;
    this.#write(response, bytes, writeVarint(bytes, 1, length));
    return bytes;
  }

  #measure(response: ModelInferResponse): number {
    if (!this.#like || !isLike(response, this.#like)) {
      this.#head = toBinary(
        ModelInferResponseSchema,
        create(ModelInferResponseSchema, { ...response, rawOutputContents: [] }),
      );
      this.#like = response;
    }
    let length = this.#head.length;
    for (const { length: size } of response.rawOutputContents) length += 1 + varintLength(size) + size;
    return length;
  }

  #write(response: ModelInferResponse, bytes: Buffer, from: number): void {
    bytes.set(this.#head, from);
    let at = from + this.#head.length;
    for (const contents of response.rawOutputContents) {
      bytes[at] = RAW;
      at = writeVarint(bytes, at + 1, contents.length);
      bytes.set(contents, at);
      at += contents.length;
    }
  }
}

/** Whether two answers differ in their raw contents at most. What they share is the same object, and is never written to. */
function isLike(left: ModelInferResponse, right: ModelInferResponse): boolean {
  if (left.id !== right.id || left.modelName !== right.modelName || left.modelVersion !== right.modelVersion)
    return false;
  if (left.parameters !== right.parameters || left.$unknown !== right.$unknown) return false;
  const { outputs } = left;
  if (outputs === right.outputs) return true;
  return outputs.length === right.outputs.length && outputs.every((output, at) => output === right.outputs[at]);
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) length++;
  return length;
}

/** Returns where the next byte goes. */
function writeVarint(bytes: Buffer, at: number, value: number): number {
  let place = at;
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes[place++] = (rest & 0x7f) | 0x80;
  bytes[place] = rest;
  return place + 1;
}
