import { create } from "@bufbuild/protobuf";
import { type InferTensorContents, InferTensorContentsSchema } from "#gen/inference/infer_pb";
import { assert } from "#lib/base/errors";
import { type Datatype, datatypeRow } from "./datatypes.ts";
import { createNumberTensor, type Numbers, numbersOf } from "./numbers.ts";
import { bytesElements, joinBytes, type Tensor, tensorError } from "./tensor.ts";

/**
 * Raw data of the typed contents of a tensor, which are in the field of its datatype and as many as its shape says. Throws
 * INVALID_FIELD for a number that the datatype does not have.
 */
export function writeContents(name: string, datatype: Datatype, contents: InferTensorContents): Uint8Array {
  if (datatype === "BYTES") return joinBytes(contents.bytesContents);
  const { field, range } = datatypeRow(datatype);
  assert(field !== undefined && field !== "bytesContents", "the datatype has typed contents of numbers");
  const numbers = contents[field] as Numbers;
  if (range) checkRange(name, numbers as ArrayLike<number>, range);
  return createNumberTensor(name, datatype, { shape: [], numbers }).data;
}

function checkRange(name: string, numbers: ArrayLike<number>, [least, most]: readonly [number, number]): void {
  for (let at = 0; at < numbers.length; at++) {
    const number = numbers[at]!;
    if (number < least || number > most)
      throw tensorError(name, `has the element ${number}, outside of ${least} to ${most}`);
  }
}

/** Typed contents of a tensor; undefined for a datatype that has none. Elements of BYTES are views. */
export function readContents(tensor: Tensor): InferTensorContents | undefined {
  const { field } = datatypeRow(tensor.datatype);
  if (!field) return undefined;
  if (field === "bytesContents") return create(InferTensorContentsSchema, { bytesContents: bytesElements(tensor) });
  const numbers = Array.from<number | bigint>(numbersOf(tensor) as ArrayLike<number | bigint>);
  const elements = field === "boolContents" ? numbers.map(Boolean) : numbers;
  return create(InferTensorContentsSchema, { [field]: elements });
}
