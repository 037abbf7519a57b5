import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { StatorError } from "#lib/base/errors";

/** What reading a request may cost at most. */
export interface InferCost {
  /** Fields in all its messages: each becomes an object or a string. */
  readonly fields: number;
  /** Numbers in lists, such as shapes and typed contents. */
  readonly numbers: number;
}

/** Far above what a request of raw contents has, and some milliseconds to read. */
export const INFER_COST: InferCost = { fields: 8_192, numbers: 65_536 };

/** Fields of a message that are messages, by their numbers; the others are texts, bytes and lists of numbers. */
interface Shape {
  readonly messages: Readonly<Record<number, Shape>>;
  /** Bytes of a number in fields that are lists of them. */
  readonly numbers: Readonly<Record<number, number>>;
}

/** Of a number that takes as many bytes as it needs. */
const VARYING = 0;

const NOTHING: Shape = { messages: {}, numbers: {} };
const PARAMETERS: Shape = { messages: { 2: NOTHING }, numbers: {} };
const CONTENTS: Shape = {
  messages: {},
  numbers: { 1: VARYING, 2: VARYING, 3: VARYING, 4: VARYING, 5: VARYING, 6: 4, 7: 8 },
};
const INPUT: Shape = { messages: { 4: PARAMETERS, 5: CONTENTS }, numbers: { 3: VARYING } };
const OUTPUT: Shape = { messages: { 2: PARAMETERS }, numbers: {} };
const REQUEST: Shape = { messages: { 4: PARAMETERS, 5: INPUT, 6: OUTPUT }, numbers: {} };

/**
 * Throws INVALID_ARGUMENT for the bytes of a `ModelInferRequest` that would hold the event loop while they are read; nothing
 * is made of them here. Whether they are one is for the reader to say.
 */
export function checkInferCost(bytes: Uint8Array, most: InferCost = INFER_COST): void {
  const spent = { fields: 0, numbers: 0 };
  try {
    walk(new BinaryReader(bytes), { shape: REQUEST, end: bytes.length }, { bytes, spent, most });
  } catch (cause) {
    if (cause instanceof StatorError) throw cause;
    throw new StatorError(
      "INVALID_ARGUMENT",
      { detail: "The bytes are not an inference.ModelInferRequest" },
      { cause },
    );
  }
}

interface Count {
  readonly bytes: Uint8Array;
  readonly spent: { fields: number; numbers: number };
  readonly most: InferCost;
}

function walk(
  reader: BinaryReader,
  { shape, end }: { readonly shape: Shape; readonly end: number },
  count: Count,
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
    else if (shape.numbers[field] !== undefined) {
      spent.numbers += countNumbers(count, { width: shape.numbers[field], from: reader.pos, to });
      if (spent.numbers > most.numbers) throw tooMuch(`${most.numbers} typed numbers`);
    }
    reader.pos = to;
  }
}

/** Numbers in a list, or as many of them as are too many. */
function countNumbers(
  { bytes, spent, most }: Count,
  { width, from, to }: { readonly width: number; readonly from: number; readonly to: number },
): number {
  if (width > 0) return Math.ceil((to - from) / width);
  let numbers = 0;
  for (let at = from; at < to && spent.numbers + numbers <= most.numbers; at++) if (bytes[at]! < 0x80) numbers++;
  return numbers;
}

function noRequest(cause?: unknown): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail: "The bytes are not an inference.ModelInferRequest" }, { cause });
}

function tooMuch(what: string): StatorError {
  const detail = `A request to this model has at most ${what}; raw contents have no such limit`;
  return new StatorError("INVALID_ARGUMENT", { detail });
}
