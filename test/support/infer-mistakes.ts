import { type BadInfer, bytesElement, type Refused } from "./bad-infer.ts";

/** A change to a request that is right, which makes it wrong. */
export interface Mistake extends Refused {
  readonly of: "text" | "tensor";
  readonly change: (good: BadInfer) => BadInfer;
  /** Part of the sentence over HTTP, whose bodies are checked before they become messages. */
  readonly overHttp?: Mistake["words"];
}

/** The first input is another one. */
export function first(change: Partial<BadInfer["inputs"][number]>): Mistake["change"] {
  return (good) => ({ ...good, inputs: good.inputs.map((input, at) => (at === 0 ? { ...input, ...change } : input)) });
}

const invalid = (of: Mistake["of"], words: Mistake["words"], change: Mistake["change"]): Mistake => {
  return { as: "INVALID_ARGUMENT", of, words, change };
};
/** A mistake that a body is refused for by its own fields. */
const field = (mistake: Mistake, overHttp: string): Mistake => ({ ...mistake, overHttp });
const unknown = (of: Mistake["of"], words: Mistake["words"], change: Mistake["change"]): Mistake => {
  return { as: "NOT_FOUND", of, words, change };
};
const rows = (count: number) => Buffer.concat(Array.from({ length: count }, () => bytesElement("a")));

/** Mistakes that both ports can be told. */
export const MISTAKES: Readonly<Record<string, Mistake>> = {
  "fewer bytes than the shape says": invalid("tensor", "INPUT0: has 60 bytes", first({ raw: Buffer.alloc(60) })),
  "more bytes than the shape says": invalid("tensor", "INPUT0: has 68 bytes", first({ raw: Buffer.alloc(68) })),
  "no bytes": invalid("tensor", "INPUT0: has 0 bytes", first({ raw: Buffer.alloc(0) })),
  "fewer elements than the shape says": invalid("text", "text_input: has 1 elements", first({ shape: [2] })),
  "a negative dimension": field(
    invalid("tensor", "negative", first({ shape: [-1, 16] })),
    "inputs[0].shape[0]: must be a whole number",
  ),
  "two negative dimensions": field(
    invalid("tensor", "negative", first({ shape: [-1, -16] })),
    "inputs[0].shape[0]: must be a whole number",
  ),
  "a negative dimension of a text": field(
    invalid("text", "negative", first({ shape: [-1] })),
    "inputs[0].shape[0]: must be a whole number",
  ),
  "the least dimension": field(
    invalid("tensor", "negative", first({ shape: [-(2n ** 63n), 16] })),
    "inputs[0].shape[0]: must be a whole number",
  ),
  "2^31 elements": invalid("tensor", "2,147,483,647", first({ shape: [2 ** 31] })),
  "2^31 elements by two dimensions": invalid("text", "2,147,483,647", first({ shape: [65_536, 32_768] })),
  "dimensions whose product is 0 in 64 bits": invalid(
    "tensor",
    "2,147,483,647",
    first({ shape: [2n ** 32n, 2n ** 32n] }),
  ),
  "the largest dimension": field(
    invalid("tensor", "2,147,483,647", first({ shape: [2n ** 63n - 1n, 2] })),
    "inputs[0].shape[0]: must be a whole number",
  ),
  "the shape of another model": invalid("tensor", "INPUT0: has the shape", first({ shape: [16] })),
  "33 dimensions": field(
    invalid("tensor", "dimensions", first({ shape: new Array<number>(33).fill(1) })),
    "inputs[0].shape: has 33 items",
  ),
  "another datatype": invalid("tensor", "FP32", first({ datatype: "FP32" })),
  "an unknown datatype": field(
    invalid("tensor", "TYPE_INT32", first({ datatype: "TYPE_INT32" })),
    "inputs[0].datatype: must be one of",
  ),
  "an unknown datatype of a text": field(
    invalid("text", "STRING", first({ datatype: "STRING" })),
    "inputs[0].datatype: must be one of",
  ),
  "an element longer than the rest": invalid("text", "longer than what is left", first({ raw: bytesElement("a", 2) })),
  "an element of 4 GiB": invalid("text", "longer than what is left", first({ raw: bytesElement("a", 0xff_ff_ff_ff) })),
  "a length that is cut": invalid("text", "longer than what is left", first({ raw: Buffer.alloc(3) })),
  "an unknown input": invalid("tensor", /^(\[.*\] )?INPUT2: is no input/, first({ name: "INPUT2" })),
  "an unknown input of a text": invalid("text", "did you mean text_input?", first({ name: "text_inputs" })),
  "an input that is called as what every object has": invalid("tensor", "__proto__", first({ name: "__proto__" })),
  "an input without a name": field(
    invalid("tensor", "without a name", first({ name: "" })),
    "inputs[0].name: must be text",
  ),
  "an unknown output": invalid("tensor", "OUTPUT2: is no output", (good) => ({ ...good, outputs: ["OUTPUT2"] })),
  "an unknown output of a text": invalid("text", "text_out", (good) => ({ ...good, outputs: ["text_out"] })),
  "an unknown parameter": invalid("text", "temprature", (good) => ({ ...good, parameters: { temprature: 1 } })),
  "an unknown model": unknown("tensor", "Request for unknown model: 'nobody'", (good) => ({
    ...good,
    model: "nobody",
  })),
  "an unknown version": unknown("tensor", "the version 1 alone", (good) => ({ ...good, version: "7" })),
  "an unknown version of a text": unknown("text", "Version 7", (good) => ({ ...good, version: "7" })),
  "a missing input": invalid("tensor", "INPUT1: is missing", (good) => ({ ...good, inputs: good.inputs.slice(0, 1) })),
  "no inputs": field(
    invalid("text", "text_input: is required", (good) => ({ ...good, inputs: [] })),
    "inputs: must have at least 1 item",
  ),
  "the same input twice": invalid("tensor", "INPUT0: is there twice", (good) => ({
    ...good,
    inputs: [...good.inputs, ...good.inputs],
  })),
  "the same text twice": invalid("text", "text_input: is there twice", (good) => ({
    ...good,
    inputs: [...good.inputs, ...good.inputs],
  })),
  "the same output twice": invalid("tensor", "OUTPUT0: is wanted twice", (good) => ({
    ...good,
    outputs: ["OUTPUT0", "OUTPUT0"],
  })),
  "more rows than the model takes": invalid("tensor", "9 rows", (good) => ({
    ...good,
    inputs: good.inputs.map((input) => ({ ...input, shape: [9, 16], raw: Buffer.alloc(576) })),
  })),
  "more prompts than a request may have": invalid("text", "rows", first({ shape: [1000], raw: rows(1000) })),
  "a text that is no UTF-8": invalid(
    "text",
    "not valid UTF-8",
    first({ raw: bytesElement(Buffer.from([0x61, 0xff])) }),
  ),
  "a region that nobody registered": unknown(
    "tensor",
    "nowhere",
    first({
      raw: undefined,
      parameters: { shared_memory_region: "nowhere", shared_memory_byte_size: 64 },
    }),
  ),
  "a region without a length": invalid(
    "tensor",
    "shared_memory_byte_size",
    first({
      raw: undefined,
      parameters: { shared_memory_region: "nowhere" },
    }),
  ),
};
