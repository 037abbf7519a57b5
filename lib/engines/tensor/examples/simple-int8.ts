import { defineTensorModel } from "../model.ts";

const numbers = { datatype: "INT8", shape: [-1, 16] } as const;

/** Adds and subtracts 16 small numbers a row; sums wrap around. */
export const simpleInt8 = defineTensorModel({
  name: "simple_int8",
  maxBatch: 8,
  inputs: { INPUT0: numbers, INPUT1: numbers },
  outputs: { OUTPUT0: numbers, OUTPUT1: numbers },
  infer({ INPUT0: { shape, values: one }, INPUT1: { values: other } }) {
    return {
      OUTPUT0: { shape, values: one.map((value, at) => value + (other[at] ?? 0)) },
      OUTPUT1: { shape, values: one.map((value, at) => value - (other[at] ?? 0)) },
    };
  },
});
