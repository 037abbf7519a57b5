import { StatorError } from "#lib/base/errors";
import { defineTensorModel } from "../model.ts";

const numbers = { datatype: "BYTES", shape: [-1, 16] } as const;

function parseNumber(bytes: Uint8Array): number {
  const text = Buffer.from(bytes).toString();
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text);
  throw new StatorError("INVALID_ARGUMENT", { detail: "An element is no decimal number of at most 15 digits" });
}

/** Adds and subtracts 16 decimal numbers a row, each written as text. */
export const simpleString = defineTensorModel({
  name: "simple_string",
  maxBatch: 8,
  inputs: { INPUT0: numbers, INPUT1: numbers },
  outputs: { OUTPUT0: numbers, OUTPUT1: numbers },
  infer({ INPUT0, INPUT1 }) {
    const { shape } = INPUT0;
    const other = INPUT1.values.map(parseNumber);
    const pairs = INPUT0.values.map((bytes, at) => [parseNumber(bytes), other[at] ?? 0] as const);
    return {
      OUTPUT0: { shape, values: pairs.map(([left, right]) => Buffer.from(`${left + right}`)) },
      OUTPUT1: { shape, values: pairs.map(([left, right]) => Buffer.from(`${left - right}`)) },
    };
  },
});
