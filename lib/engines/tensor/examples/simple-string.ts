import { defineTensorModel, type TensorCall } from "../model.ts";

const numbers = { datatype: "BYTES", shape: [-1, 16] } as const;

/** Adds and subtracts 16 decimal numbers a row, each written as text. */
export const simpleString = defineTensorModel({
  name: "simple_string",
  maxBatch: 8,
  inputs: { INPUT0: numbers, INPUT1: numbers },
  outputs: { OUTPUT0: numbers, OUTPUT1: numbers },
  infer({ INPUT0: { shape, values: left }, INPUT1: { values: right } }, call) {
    const [one, other] = [parse(left, call), parse(right, call)];
    return {
      OUTPUT0: { shape, values: print(one.map((value, at) => value + (other[at] ?? 0))) },
      OUTPUT1: { shape, values: print(one.map((value, at) => value - (other[at] ?? 0))) },
    };
  },
});

function parse(elements: readonly Uint8Array[], call: TensorCall): number[] {
  return elements.map((element) => {
    const text = Buffer.from(element).toString();
    return /^[+-]?\d{1,15}$/.test(text) ? Number(text) : call.refuse("An element is no number of at most 15 digits");
  });
}

function print(numbers: readonly number[]): Uint8Array[] {
  return numbers.map((number) => Buffer.from(String(number)));
}
