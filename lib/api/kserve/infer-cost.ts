import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { StatorError } from "#lib/base/errors";

/** What reading a request may cost at most. */
export interface InferCost {
  /** Fields in all its messages: each becomes an object or a string. */
  readonly fields: number;
  /** Bytes of lists of numbers, such as shapes and typed contents: each may be a number. */
  readonly numberBytes: number;
}

/** Far above what a request to a model of text has, and some milliseconds to read. */
export const INFER_COST: InferCost = { fields: 8_192, numberBytes: 131_072 };

/** Fields of a message that are messages, by their numbers; the others are texts, bytes and lists of numbers. */
interface Shape {
  readonly messages: Readonly<Record<number, Shape>>;
  /** Fields that are lists of numbers. */
  readonly numbers: readonly number[];
}

const NOTHING: Shape = { messages: {}, numbers: [] };
const PARAMETERS: Shape = { messages: { 2: NOTHING }, numbers: [] };
const CONTENTS: Shape = { messages: {}, numbers: [1, 2, 3, 4, 5, 6, 7] };
const INPUT: Shape = { messages: { 4: PARAMETERS, 5: CONTENTS }, numbers: [3] };
const OUTPUT: Shape = { messages: { 2: PARAMETERS }, numbers: [] };
const REQUEST: Shape = { messages: { 4: PARAMETERS, 5: INPUT, 6: OUTPUT }, numbers: [] };

/**
 * Throws INVALID_ARGUMENT for the bytes of a `ModelInferRequest` that would hold the event loop while they are read; nothing
 * is made of them here. Whether they are one is for the reader to say.
 */
export function checkInferCost(bytes: Uint8Array, most: InferCost = INFER_COST): void {
  const spent = { fields: 0, numberBytes: 0 };
  try {
    walk(new BinaryReader(bytes), { shape: REQUEST, end: bytes.length }, { spent, most });
  } catch (cause) {
    if (cause instanceof StatorError) throw cause;
    throw new StatorError(
      "INVALID_ARGUMENT",
      { detail: "The bytes are not an inference.ModelInferRequest" },
      { cause },
    );
  }
}

function walk(
  reader: BinaryReader,
  { shape, end }: { readonly shape: Shape; readonly end: number },
  count: { readonly spent: { fields: number; numberBytes: number }; readonly most: InferCost },
): void {
  const { spent, most } = count;
  while (reader.pos < end) {
    const [field, wire] = reader.tag();
    if (++spent.fields > most.fields) throw tooMuch(`${most.fields} fields`);
    // Nothing here has one, and its end is found only by reading all of it.
    if (wire === WireType.StartGroup || wire === WireType.EndGroup) throw noRequest();
    if (wire !== WireType.LengthDelimited) {
      reader.skip(wire, field);
      continue;
    }
    const length = reader.uint32();
    const to = reader.pos + length;
    if (to > end) throw noRequest();
    const inner = shape.messages[field];
    if (inner) walk(reader, { shape: inner, end: to }, count);
    else if (shape.numbers.includes(field)) spent.numberBytes += length;
    if (spent.numberBytes > most.numberBytes) throw tooMuch(`${most.numberBytes} bytes of typed numbers`);
    reader.pos = to;
  }
}

function noRequest(cause?: unknown): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: "The bytes are not an inference.ModelInferRequest" }, { cause });
}

function tooMuch(what: string): StatorError {
  const detail = `A request to this model has at most ${what}; raw contents have no such limit`;
  return new StatorError("INVALID_ARGUMENT", { detail });
}
