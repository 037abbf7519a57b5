import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ModelInferResponseSchema } from "#gen/inference/infer_pb";
import { printGenerateAnswer, readGenerateBody } from "./json-generate.ts";
import { createNumberTensor } from "./numbers.ts";
import { createParameter } from "./parameters.ts";
import { printTensors } from "./print-tensors.ts";
import { bytesElements, createBytesTensor } from "./tensor.ts";

const read = (body: unknown) => {
  const request = readGenerateBody(Buffer.from(JSON.stringify(body)), { model: "m", version: "1" });
  const texts = bytesElements({ data: request.rawInputContents[0]! }).map((text) => Buffer.from(text).toString());
  const values = Object.entries(request.parameters).map(([name, { parameterChoice }]) => [name, parameterChoice.value]);
  return { request, texts, parameters: Object.fromEntries(values) as unknown };
};

const sampling = ({ inputs, rawInputContents }: ReturnType<typeof read>["request"]) => {
  const at = inputs.findIndex(({ name }) => name === "sampling_parameters");
  return at < 0
    ? undefined
    : bytesElements({ data: rawInputContents[at]! }).map((text) => Buffer.from(text).toString());
};

describe("a body", () => {
  it("is a text and its parameters", () => {
    const { request, texts, parameters } = read({
      id: "r1",
      text_input: "hi",
      parameters: { max_tokens: 8, stream: true },
    });
    expect([texts, parameters]).toEqual([["hi"], { max_tokens: 8n, stream: true }]);
    expect(request).toMatchObject({ modelName: "m", modelVersion: "1", id: "r1" });
    expect(request.inputs).toMatchObject([{ name: "text_input", datatype: "BYTES", shape: [1n] }]);
  });

  it("is several texts, and parameters beside them, before which those inside count", () => {
    const body = {
      text_input: ["a", ""],
      max_tokens: 9,
      temperature: 0.5,
      bad: null,
      parameters: { max_tokens: 8, stop: ["x"] },
    };
    const { request, texts, parameters } = read(body);
    expect([texts, request.inputs[0]!.shape]).toEqual([["a", ""], [2n]]);
    expect(parameters).toEqual({ max_tokens: 8n, temperature: 0.5 });
    expect(sampling(request)).toEqual(['{"stop":["x"]}']);
    const seed = readGenerateBody(Buffer.from('{"text_input":"","parameters":{"seed":9007199254740993}}'), {
      model: "m",
      version: "",
    });
    expect(seed.parameters.seed!.parameterChoice.value).toBe(2n ** 53n + 1n);
  });

  it("has lists and objects as members of sampling_parameters, beside what stands there", () => {
    const of = (parameters: object) => sampling(read({ text_input: "a", parameters }).request);
    expect(of({ max_tokens: 1 })).toBeUndefined();
    expect(of({ sampling_parameters: "{ }" })).toEqual(["{ }"]);
    expect(of({ sampling_parameters: { n: 2 } })).toEqual(['{"n":2}']);
    expect(of({ sampling_parameters: '{"n":2}', logit_bias: { 1: 2 } })).toEqual(['{"n":2,"logit_bias":{"1":2}}']);
    for (const wrong of ["[", "[1]", [1], 1]) {
      expect(() => of({ sampling_parameters: wrong, stop: ["a"] })).toThrow("sampling_parameters: ");
    }
  });

  it.each<[string, unknown]>([
    ["text_input: is required", {}],
    ["text_input: is required", { text_inputs: "a" }],
    ["text_input: must be text", { text_input: 5 }],
    ["text_input: must have at least 1 item", { text_input: [] }],
    ["text_input: has 2049 items; at most 2048 are taken", { text_input: Array(2049).fill("a") }],
    ["parameters: must be an object", { text_input: "a", parameters: [1], max_tokens: 1 }],
    ["The body: must be an object", "a"],
  ])("is refused: %s", (sentence, body) => {
    expect(() => read(body)).toThrow(sentence);
  });
});

it("an answer has each output under its name, by itself where it is one", () => {
  const tensors = [
    createBytesTensor("text_output", ['"hi"']),
    createBytesTensor("finish_reason", ["stop", "length"]),
    createNumberTensor("n", "INT32", { shape: [1, 1], numbers: [7] }),
  ];
  const about = { modelName: "m", modelVersion: "1", parameters: { prompt_tokens: createParameter(3n) } };
  const response = { ...create(ModelInferResponseSchema, about), ...printTensors(tensors, "raw") };
  expect(printGenerateAnswer(response)).toBe(
    '{"model_name":"m","model_version":"1","parameters":{"prompt_tokens":3},"text_output":"\\"hi\\"","finish_reason":["stop","length"],"n":7}',
  );
});
