import { defineTensorModel } from "../model.ts";

const numbers = { datatype: "INT32", shape: [-1, 16] } as const;

/** Adds and subtracts 16 numbers a row. */
export const simple = defineTensorModel({
  name: "simple",
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
