import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { InferParameterSchema, ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import { printInferAnswer } from "./json-answer.ts";
import { createNumberTensor } from "./numbers.ts";
import { createParameter } from "./parameters.ts";
import { printTensors } from "./print-tensors.ts";
import { createBytesTensor, type Tensor } from "./tensor.ts";

const NONE = { others: false, named: new Map<string, boolean>() };
const ALL = { ...NONE, others: true };

const answer = (tensors: readonly Tensor[], form: "raw" | "typed" = "raw") =>
  create(ModelInferResponseSchema, { modelName: "m", modelVersion: "1", ...printTensors(tensors, form) });
const dataOf = (tensor: Tensor, form?: "raw" | "typed"): unknown => {
  const { json, contents } = printInferAnswer(answer([tensor], form), NONE);
  expect(contents).toEqual([]);
  return (JSON.parse(json) as { outputs: { data: unknown }[] }).outputs[0]!.data;
};

const HI = createBytesTensor("text_output", ["hi"]);

describe("an answer", () => {
  it("with its tensors behind it is the one that the protocol's clients read, and copies nothing", () => {
    const response = answer([HI]);
    const { json, contents } = printInferAnswer(response, ALL);
    expect(json).toBe(
      '{"model_name":"m","model_version":"1","outputs":[{"name":"text_output","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":6}}]}',
    );
    expect(json.length).toBe(140);
    expect(Buffer.concat(contents).toString("hex")).toBe("020000006869");
    expect(contents[0]).toBe(response.rawOutputContents[0]);
  });

  it("of JSON alone says id and parameters where there are any", () => {
    const response = create(ModelInferResponseSchema, {
      ...answer([HI]),
      id: 'r"1',
      parameters: {
        prompt_tokens: createParameter(2n ** 60n),
        done: createParameter(true),
        odd: create(InferParameterSchema),
      },
    });
    expect(printInferAnswer(response, NONE).json).toBe(
      '{"model_name":"m","model_version":"1","id":"r\\"1","parameters":{"prompt_tokens":1152921504606846976,"done":true},"outputs":[{"name":"text_output","datatype":"BYTES","shape":[1],"data":["hi"]}]}',
    );
  });

  it("has each output where it was asked for", () => {
    const tensors = [HI, createBytesTensor("b", ["x"]), createNumberTensor("c", "INT8", { shape: [1], numbers: [1] })];
    const { json, contents } = printInferAnswer(answer(tensors), { others: true, named: new Map([["b", false]]) });
    const { outputs } = JSON.parse(json) as { outputs: object[] };
    expect(outputs.map((output) => ("data" in output ? output.data : undefined))).toEqual([
      undefined,
      ["x"],
      undefined,
    ]);
    expect(contents.map(({ length }) => length)).toEqual([6, 1]);
  });

  it("has no data of what lies in shared memory", () => {
    const response = answer([HI]);
    response.outputs[0]!.parameters = {
      shared_memory_region: createParameter("r"),
      shared_memory_byte_size: createParameter(6n),
    };
    const output = { name: "text_output", datatype: "BYTES", shape: [1] };
    const parameters = { shared_memory_region: "r", shared_memory_byte_size: 6 };
    for (const binary of [NONE, ALL]) {
      const { json, contents } = printInferAnswer(response, binary);
      expect([(JSON.parse(json) as { outputs: unknown }).outputs, contents]).toEqual([[{ ...output, parameters }], []]);
    }
  });
});

describe("elements", () => {
  const big = [-(2n ** 63n), 2n ** 63n - 1n];
  it.each<[Parameters<typeof createNumberTensor>[1], readonly (number | bigint)[], string]>([
    ["BOOL", [1, 0], "[true,false]"],
    ["INT8", [-128, 127], "[-128,127]"],
    ["UINT16", [0, 65535], "[0,65535]"],
    ["INT64", big, "[-9223372036854775808,9223372036854775807]"],
    ["UINT64", [0n, 2n ** 64n - 1n], "[0,18446744073709551615]"],
    ["FP32", [0.1, -3.4e38], "[0.100000001,-3.39999995e+38]"],
    ["FP64", [0.1, Number.NaN], "[0.1,null]"],
    ["FP16", [0.5, Number.POSITIVE_INFINITY], "[0.5,null]"],
    ["BF16", [1.5, -2], "[1.5,-2]"],
  ])("of %s, raw and typed", (datatype, numbers, json) => {
    const tensor = createNumberTensor("o", datatype, { shape: [2], numbers: numbers as readonly number[] });
    for (const form of ["raw", "typed"] as const) {
      expect(printInferAnswer(answer([tensor], form), NONE).json).toContain(`"data":${json}`);
    }
  });

  it("of FP32 are the same f32 when they are read again", () => {
    const numbers = Float32Array.from({ length: 2000 }, (_, at) => Math.sin(at) * 10 ** ((at % 60) - 30));
    const tensor = createNumberTensor("o", "FP32", { shape: [2000], numbers });
    expect(Float32Array.from(dataOf(tensor) as number[])).toEqual(numbers);
  });

  it("of BYTES are text, whatever is in it, and what is no text is refused by its name", () => {
    expect(dataOf(createBytesTensor("o", ["", 'é"\n😀']), "typed")).toEqual(["", 'é"\n😀']);
    expect(dataOf(createBytesTensor("o", []))).toEqual([]);
    const binary = createBytesTensor("o", [Uint8Array.of(0xff)]);
    expect(() => dataOf(binary)).toThrow("The output o as JSON is not available: it holds bytes that are no UTF-8");
    expect(printInferAnswer(answer([binary]), ALL).contents[0]!.length).toBe(5);
  });

  it("that are not what a strange server says of them are damaged", () => {
    const whole = answer([createNumberTensor("o", "INT16", { shape: [2], numbers: [1, 2] })]);
    const [output] = whole.outputs;
    const changes: Partial<typeof whole>[] = [
      { outputs: [{ ...output!, shape: [3n] }] },
      { outputs: [{ ...output!, datatype: "TYPE_INT16" }] },
      { outputs: [{ ...output!, datatype: "BYTES" }] },
      { rawOutputContents: [new Uint8Array(3)] },
      { rawOutputContents: [] },
    ];
    const damaged = (change: Partial<typeof whole>) => () => printInferAnswer({ ...whole, ...change }, NONE);
    for (const change of changes) expect(damaged(change)).toThrow("The output o is damaged");
    for (const change of changes) expect(damaged(change)).toThrow(StatorError);
  });
});
