import { toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { type ModelInferRequest, ModelInferRequestSchema } from "#gen/inference/infer_pb";
import type { BehindJson, InferJson } from "./json-request.ts";

/** Number of `raw_input_contents`, the last field of a ModelInferRequest. */
const RAW_CONTENTS = ModelInferRequestSchema.field.rawInputContents.number;

/**
 * The bytes of a ModelInferRequest whose raw contents come in pieces, such as the chunks of a body: each is copied once, to
 * its place in the message. `behind` are the bytes behind the JSON of a body, one after the other.
 */
export function writeInferMessage(
  { request, contents }: Pick<InferJson, "request" | "contents">,
  behind: readonly Uint8Array[],
): Uint8Array<ArrayBuffer> {
  const head = toBinary(ModelInferRequestSchema, request satisfies ModelInferRequest);
  const marks = contents.map((one) => markOf(lengthOf(one)));
  const length = contents.reduce((sum, one, at) => sum + marks[at]!.length + lengthOf(one), head.length);
  const message = new Uint8Array(length);
  message.set(head);
  let at = head.length;
  for (const [index, one] of contents.entries()) {
    const mark = marks[index]!;
    message.set(mark, at);
    at += mark.length;
    if (one instanceof Uint8Array) message.set(one, at);
    else copyPieces(message.subarray(at), one, behind);
    at += lengthOf(one);
  }
  return message;
}

function lengthOf(one: Uint8Array | BehindJson): number {
  return one instanceof Uint8Array ? one.length : one.bytes;
}

/** What stands before the bytes of one of the contents. */
function markOf(length: number): Uint8Array {
  return new BinaryWriter().tag(RAW_CONTENTS, WireType.LengthDelimited).uint32(length).finish();
}

/** Copies what lies at a place of pieces that follow each other. */
function copyPieces(target: Uint8Array, { from, bytes }: BehindJson, pieces: readonly Uint8Array[]): void {
  let start = 0;
  for (const piece of pieces) {
    const first = Math.max(from, start);
    const end = Math.min(from + bytes, start + piece.length);
    if (first < end) target.set(piece.subarray(first - start, end - start), first - from);
    start += piece.length;
  }
}
