import { toBinary } from "@bufbuild/protobuf";
import { type ModelInferResponse, ModelInferResponseSchema } from "#gen/inference/infer_pb";

/** Tag of `raw_output_contents`, the last field of an answer. */
const RAW = (6 << 3) | 2;
/** Tag of `infer_response` in a message of a stream. */
const RESPONSE = (2 << 3) | 2;
/** Of an element of BYTES. */
const LENGTH_BYTES = 4;

/**
 * Makes the bytes of messages that tell what a choice says next. They differ in nothing but the text: all that is before it
 * is made once, and for a message there is one piece of memory and no object.
 */
export class StreamedText {
  /** Everything of an answer but its contents. */
  readonly #head: Uint8Array;

  private constructor(head: Uint8Array) {
    this.#head = head;
  }

  /** Messages like this one, which tells a text and nothing else; undefined for one that tells more, or is typed. */
  static like(response: ModelInferResponse): StreamedText | undefined {
    const { outputs, rawOutputContents } = response;
    const [output] = outputs;
    const isText = outputs.length === 1 && output?.datatype === "BYTES" && output.shape.every((size) => size === 1n);
    if (!isText || rawOutputContents.length !== 1) return undefined;
    return new StreamedText(toBinary(ModelInferResponseSchema, { ...response, rawOutputContents: [] }));
  }

  /** The bytes of a ModelStreamInferResponse. */
  print(text: string): Buffer {
    const textBytes = Buffer.byteLength(text);
    const contents = LENGTH_BYTES + textBytes;
    const length = this.#head.length + 1 + varintLength(contents) + contents;
    const bytes = Buffer.allocUnsafe(1 + varintLength(length) + length);
    bytes[0] = RESPONSE;
    let at = writeVarint(bytes, 1, length);
    bytes.set(this.#head, at);
    at += this.#head.length;
    bytes[at] = RAW;
    at = writeVarint(bytes, at + 1, contents);
    at = bytes.writeUInt32LE(textBytes, at);
    bytes.write(text, at);
    return bytes;
  }
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
