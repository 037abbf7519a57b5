import { create, fromBinary } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import { type ModelInferRequest, ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { createNumberTensor } from "#lib/api/kserve/numbers";
import { createParameter, type ParameterValue } from "#lib/api/kserve/parameters";
import { createBytesTensor, type Tensor } from "#lib/api/kserve/tensor";
import { NO_WISHES } from "#lib/routing/router";
import { CLIENT_REQUEST, RAW_REQUEST, TYPED_REQUEST } from "../../../../test/contract/inference-vectors.ts";
import { PLAIN_ASK } from "../plain.ts";
import { INFER_LIMITS, type InferAbout, readInfer } from "./read.ts";

interface Given {
  readonly parameters?: Readonly<Record<string, ParameterValue>>;
  readonly outputs?: readonly string[];
  readonly about?: Partial<InferAbout>;
  readonly id?: string;
}

/** A request of tensors, raw. */
function request(inputs: readonly Tensor[], { parameters = {}, outputs = [], id = "" }: Given): ModelInferRequest {
  const said = Object.entries(parameters).map(([name, value]) => [name, createParameter(value)]);
  return create(ModelInferRequestSchema, {
    ...{ modelName: "m", id, parameters: Object.fromEntries(said) },
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) })),
    rawInputContents: inputs.map(({ data }) => data),
    outputs: outputs.map((name) => ({ name })),
  });
}

const ANSWERS: InferAbout = { generate: true, embed: false, stream: "allowed" };
const read = (inputs: readonly Tensor[], given: Given = {}) => {
  return readInfer(request(inputs, given), { ...ANSWERS, ...given.about });
};
const hello = createBytesTensor("text_input", ["hello"]);
const withText = (given: Given, ...more: Tensor[]) => read([hello, ...more], given);
const parameters = (said: Given["parameters"]) => withText({ parameters: said }).ask;
const drawing = (json: string) => withText({}, createBytesTensor("sampling_parameters", [json])).ask;
const truth = (name: string, value: boolean) => {
  return createNumberTensor(name, "BOOL", { shape: [1], numbers: [value ? 1 : 0] });
};
const ids = (numbers: readonly number[], shape: readonly number[] = [numbers.length]) => {
  return createNumberTensor("input_ids", "INT32", { shape, numbers });
};
const lengths = (...numbers: number[]) => {
  return createNumberTensor("input_lengths", "INT32", { shape: [numbers.length], numbers });
};

describe("what clients send", () => {
  const decode = (hex: string) => fromBinary(ModelInferRequestSchema, Buffer.from(hex, "hex"));

  it("is read raw and typed", () => {
    expect(readInfer(decode(RAW_REQUEST.hex), ANSWERS)).toMatchObject({
      ask: {
        ...{ model: "m", kind: "generate", input: { kind: "text", texts: ["hello"] } },
        ...{ sampling: { temperature: 0.5 }, stopping: { maxTokens: 8 }, topLogprobs: undefined },
      },
      ...{ stream: true, byToken: false, ignored: [] },
      form: {
        ...{ id: "r1", model: "m", kind: "text", contents: "raw", finalResponse: false },
        outputs: ["text_output", "finish_reason"],
      },
    });
    const typed = readInfer(decode(TYPED_REQUEST.hex), { ...ANSWERS, stream: "refused" });
    expect(typed.ask).toEqual({
      ...PLAIN_ASK,
      model: "m",
      input: typed.ask.input,
      stopping: { ...PLAIN_ASK.stopping, maxTokens: 16 },
    });
    expect(typed).toMatchObject({ stream: false, form: { id: "", contents: "typed" } });
  });

  it("with parameters that there are not is refused by their names", () => {
    expect(() => readInfer(decode(CLIENT_REQUEST.hex), ANSWERS)).toThrow("Unknown field mode, flag.");
  });
});

describe("prompts", () => {
  const refused = (message: string, ...inputs: Tensor[]) => expect(() => read(inputs)).toThrow(message);

  it("are the elements of text_input, whatever its shape", () => {
    const two = createBytesTensor("text_input", ["a", "é"], [2, 1]);
    expect(read([two]).ask.input).toEqual({ kind: "text", texts: ["a", "é"] });
    refused("text_input: has no rows", createBytesTensor("text_input", []));
    refused("text_input: is not valid UTF-8", createBytesTensor("text_input", [Uint8Array.of(0xff)]));
    refused("text_input: must be BYTES, not INT32", { ...ids([1]), name: "text_input" });
    refused("text_input: is required");
  });

  it("that are long stay UTF-8, in memory of their own", () => {
    const long = createBytesTensor("text_input", ["x".repeat(65_537)]);
    const { input } = read([long]).ask;
    const [text] = input.kind === "text" ? input.texts : [];
    expect(text).toHaveLength(65_537);
    expect((text as Uint8Array).buffer).not.toBe(long.data.buffer);
    expect((text as Uint8Array).buffer.byteLength).toBe(65_537);
  });

  it("are the rows of input_ids, as long as input_lengths says", () => {
    const prompts = (...inputs: Tensor[]) => {
      const { input } = read(inputs).ask;
      return input.kind === "tokens" && input.prompts.map((prompt) => [...prompt]);
    };
    expect(prompts(ids([1, 2, 3]))).toEqual([[1, 2, 3]]);
    expect(prompts(ids([1, 2, 3, 4, 5, 6], [2, 3]))).toEqual([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(prompts(ids([1, 2, 3, 4, 5, 6], [2, 3]), lengths(3, 1))).toEqual([[1, 2, 3], [4]]);
    const wide = createNumberTensor("input_ids", "INT64", { shape: [1, 2], numbers: [7n, 2n ** 31n - 1n] });
    expect(prompts(wide)).toEqual([[7, 2 ** 31 - 1]]);
    const whole = createNumberTensor("input_ids", "UINT32", { shape: [1], numbers: [2 ** 32 - 1] });
    expect(prompts(whole)).toEqual([[2 ** 32 - 1]]);
  });

  it("of ids that are none are refused", () => {
    const negative = "input_ids: has an element that is negative";
    refused(negative, ids([-1]));
    refused(negative, createNumberTensor("input_ids", "INT64", { shape: [1], numbers: [-1n] }));
    refused(negative, createNumberTensor("input_ids", "INT64", { shape: [1], numbers: [2n ** 32n] }));
    refused(negative, createNumberTensor("input_ids", "INT64", { shape: [1], numbers: [2n ** 31n] }));
    refused("input_ids: must be INT32, INT64 or UINT32, not FP32", { ...ids([1]), datatype: "FP32" });
    refused("input_ids: must have one or two dimensions", ids([1], [1, 1, 1]));
    refused("input_ids: has no rows", ids([], [0, 3]));
    refused("input_ids: cannot be there beside text_input", hello, ids([1]));
    refused("input_lengths: is taken only with input_ids", hello, lengths(1));
    refused("input_lengths: has 1 elements for 2 rows", ids([1, 2], [2, 1]), lengths(1));
    refused("input_lengths: has 3 for a row of 2 ids", ids([1, 2]), lengths(3));
    refused("input_lengths: has 0 for a row", ids([1, 2]), lengths(0));
  });

  it("and other inputs have their names", () => {
    refused("text_imput: is no input of m; did you mean text_input?", createBytesTensor("text_imput", ["a"]));
    refused("constructor: is no input of m.", createBytesTensor("constructor", ["a"]));
    refused("text_input: is there twice", hello, hello);
  });
});

describe("parameters", () => {
  it("say how tokens are drawn, in OpenAI's names", () => {
    const ask = parameters({ temperature: 0, top_p: 0.5, top_k: 3, seed: 2n ** 62n, max_tokens: 5, n: 2, stop: "." });
    expect(ask).toMatchObject({
      ...{ choicesPerPrompt: 2, sampling: { temperature: 0, topP: 0.5, topK: 3, seed: 2n ** 62n } },
      stopping: { maxTokens: 5, stopTexts: ["."] },
    });
  });

  it("may be JSON of sampling_parameters, and count as the request says them where both do", () => {
    const json = '{"temperature": "0.1", "seed": "-1", "ignore_eos": "true", "stop": ["a", "b"], "max_tokens": 3}';
    expect(drawing(json)).toMatchObject({
      ...{ sampling: { temperature: 0.1, seed: 2n ** 64n - 1n } },
      stopping: { ignoreEos: true, stopTexts: ["a", "b"], maxTokens: 3 },
    });
    const both = withText({ parameters: { max_tokens: 7 } }, createBytesTensor("sampling_parameters", [json]));
    expect(both.ask).toMatchObject({ sampling: { temperature: 0.1 }, stopping: { maxTokens: 7 } });
  });

  it("that are no scalar are JSON in a text", () => {
    const ask = parameters({
      stop_token_ids: "[1, 2]",
      logit_bias: '{"5": -1}',
      response_format: '{"type": "json_object"}',
    });
    expect(ask).toMatchObject({
      ...{ stopping: { stopTokens: Uint32Array.of(1, 2) }, guidance: { kind: "jsonObject" } },
      sampling: { biasTokens: Uint32Array.of(5), biasValues: Float32Array.of(-1) },
    });
  });

  it("say when and where it runs, in Triton's names and ours", () => {
    const said = { cache_salt: "s", priority: 1, timeout: 1501, stator_worker: "0a", stator_session: "me" };
    expect(parameters(said)).toMatchObject({
      ...{ cacheSalt: "s", priority: 2_147_483_647, deadlineMs: 2 },
      ...{ target: { worker: 10n, rank: undefined }, wishes: { ...NO_WISHES, session: "me" } },
    });
    expect(parameters({ timeout: 2 ** 52 }).deadlineMs).toBe(2 ** 31 - 1);
    expect(parameters({ priority: 0, timeout: 0 })).toMatchObject({ priority: 0, deadlineMs: undefined });
    expect(parameters({ priority: 2_147_483_647, timeout: 1 })).toMatchObject({ priority: 1, deadlineMs: 1 });
  });

  test.each<[Given["parameters"], string]>([
    [{ temprature: 1 }, "Unknown field temprature. Did you mean temperature?"],
    [{ max_new_tokens: 1 }, "Did you mean max_tokens?"],
    [{ temperature: 3 }, "temperature: must be a number from 0 to 2, not 3."],
    [{ temperature: "warm" }, "temperature: must be a number from 0 to 2, not text."],
    [{ temperature: Number.NaN }, "temperature: must be a number"],
    [{ max_tokens: 0 }, "max_tokens: must be a whole number from 1"],
    [{ max_tokens: 2n ** 63n - 1n }, "max_tokens: must be"],
    [{ max_tokens: 2, min_tokens: 3 }, "min_tokens: is above 2"],
    [{ seed: "9999999999999999999" }, "seed: must be"],
    [{ stop_token_ids: "[1" }, "stop_token_ids: is not valid JSON: expected"],
    [{ priority: -1 }, "priority: must be a whole number from 0"],
    [{ timeout: 0.5 }, "timeout: must be a whole number"],
    [{ stator_worker: "x" }, "stator_worker: must be"],
    [{ sequence_id: 7 }, "sequence_id is not supported: sequence models are not served"],
    [{ sequence_start: true }, "sequence_start is not supported"],
    [{ sequence_end: true }, "sequence_end is not supported"],
    [{ triton_final_response: true }, "Unknown field triton_final_response."],
    [{ n: 2, logprobs: 1, temperature: -1, top_k: -2 }, "several mistakes"],
  ])("%o: %s", (said, message) => {
    expect(() => parameters(said)).toThrow(message);
  });

  test.each([
    ["[]", "sampling_parameters: must be an object."],
    ["{", "sampling_parameters: is not valid JSON: expected"],
    ['{"priority": 1}', "Unknown field priority."],
    ['{"temprature": 1}', "Did you mean temperature?"],
    ['{"__proto__": {"n": 2}}', "Unknown field __proto__."],
  ])("%s in sampling_parameters: %s", (json, message) => {
    expect(() => drawing(json)).toThrow(message);
  });

  it("that are bytes without a text are refused", () => {
    const torn = createBytesTensor("sampling_parameters", [Uint8Array.of(0x22, 0xff, 0x22)]);
    expect(() => withText({}, torn)).toThrow("sampling_parameters: is not valid UTF-8");
    const two = createBytesTensor("sampling_parameters", ["{}", "{}"]);
    expect(() => withText({}, two)).toThrow("sampling_parameters: must have one element, not 2");
  });

  it("without effect are named, and those that ask for nothing are not", () => {
    const said = { headers: "{}", sequence_id: 0, sequence_start: false, binary_data_output: true };
    expect(withText({ parameters: said }).ignored).toEqual(["headers"]);
  });
});

describe("a stream", () => {
  it("is asked for by an input or a parameter, by two names", () => {
    const streams = (given: Given, ...more: Tensor[]) => withText(given, ...more).stream;
    expect(streams({})).toBe(false);
    expect(streams({}, truth("stream", true))).toBe(true);
    expect(streams({}, truth("streaming", true))).toBe(true);
    expect(streams({}, truth("streaming", false))).toBe(false);
    expect(streams({ parameters: { stream: true } })).toBe(true);
    expect(streams({ parameters: { streaming: true } }, truth("stream", true))).toBe(true);
    expect(() => streams({ parameters: { stream: false } }, truth("stream", true))).toThrow("stream: is said twice");
    expect(() => streams({}, createNumberTensor("stream", "INT32", { shape: [1], numbers: [1] }))).toThrow(
      "must be BOOL",
    );
    expect(() => streams({}, { ...truth("stream", true), shape: [0], data: new Uint8Array(0) })).toThrow(
      "one element, not 0",
    );
  });

  it("is refused where there is one answer", () => {
    const about = { stream: "refused" } as const;
    expect(() => withText({ about }, truth("stream", true))).toThrow(
      "stream is not supported: this call has one answer",
    );
    const said = { triton_enable_empty_final_response: true };
    expect(withText({ about, parameters: said }).form.finalResponse).toBe(false);
    expect(withText({ parameters: said }).form.finalResponse).toBe(true);
  });
});

it("an answer begins with its prompt where that is asked for, by three names", () => {
  const echo = (given: Given, ...more: Tensor[]) => withText(given, ...more).echo;
  expect(echo({})).toBe(false);
  expect(echo({ parameters: { echo: true } })).toBe(true);
  expect(echo({ parameters: { exclude_input_in_output: true } })).toBe(false);
  expect(echo({ parameters: { exclude_input_in_output: false } })).toBe(true);
  expect(echo({}, truth("exclude_input_in_output", false))).toBe(true);
  expect(() => echo({ parameters: { echo: true, exclude_input_in_output: true } })).toThrow("echo: is said twice");
});

describe("outputs", () => {
  const outputs = (names: readonly string[], said: Given["parameters"] = {}) => {
    return withText({ outputs: names, parameters: said });
  };

  it("are what is usual, or those that are named, in their order", () => {
    expect(outputs(["finish_reason", "text_output"]).form.outputs).toEqual(["finish_reason", "text_output"]);
    expect(read([ids([1])]).form).toMatchObject({
      ...{ kind: "tokens", outputs: ["output_ids", "sequence_length", "finish_reason"] },
    });
    expect(read([ids([1])]).byToken).toBe(true);
  });

  it("of tokens are told one by one, with log-probabilities where these are wanted", () => {
    expect(outputs(["token_ids"])).toMatchObject({ byToken: true, ask: { topLogprobs: undefined } });
    expect(outputs(["token_logprobs"])).toMatchObject({ byToken: true, ask: { topLogprobs: 0 } });
    expect(outputs(["logprobs"], { logprobs: 2 })).toMatchObject({ byToken: true, ask: { topLogprobs: 2 } });
    expect(outputs([], { logprobs: 2 })).toMatchObject({
      ...{ ask: { topLogprobs: 2 }, form: { outputs: ["text_output", "finish_reason", "token_logprobs", "logprobs"] } },
    });
    expect(() => outputs(["text_output"], { logprobs: 2 })).toThrow(
      "logprobs: is taken with the outputs token_logprobs and logprobs alone",
    );
  });

  it("have their names, each once, and no classes", () => {
    expect(() => outputs(["text_outputs"])).toThrow("text_outputs: is no output of m; did you mean text_output?");
    expect(() => outputs(["text_output", "text_output"])).toThrow("text_output: is wanted twice");
    expect(() => outputs(["embedding"])).toThrow("embedding: is no output of m");
    const wanted = (name: string, value: ParameterValue) => {
      const given = request([hello], { outputs: ["text_output"] });
      given.outputs[0]!.parameters[name] = createParameter(value);
      return () => readInfer(given, ANSWERS);
    };
    expect(wanted("classification", 3)).toThrow(
      "classification is not supported: the output text_output is given as it is",
    );
    expect(wanted("classification", 0)).not.toThrow();
    expect(wanted("shared_memory_region", "r")).not.toThrow();
  });
});

describe("embeddings", () => {
  const about = { generate: false, embed: true };
  const embed = (given: Given, ...inputs: Tensor[]) => read(inputs, { about, ...given });

  it("are of text or ids, and of a model that answers too where they are wanted", () => {
    expect(embed({ parameters: { dimensions: 3, priority: 2, timeout: 3000 } }, hello)).toMatchObject({
      ask: { kind: "embed", input: { texts: ["hello"] }, priority: 2_147_483_646, deadlineMs: 3 },
      ...{ dimensions: 3, stream: false, byToken: false, form: { kind: "embedding", outputs: ["embedding"] } },
    });
    expect(embed({}, ids([1, 2], [2, 1])).ask.input).toMatchObject({ prompts: [{ length: 1 }, { length: 1 }] });
    const both = { generate: true, embed: true };
    expect(embed({ about: both }, hello).ask.kind).toBe("generate");
    expect(embed({ about: both, outputs: ["embedding"] }, hello).ask.kind).toBe("embed");
  });

  it("have nothing of answers", () => {
    expect(() => embed({ parameters: { temperature: 0 } }, hello)).toThrow("Unknown field temperature.");
    expect(() => embed({ outputs: ["text_output"] }, hello)).toThrow("text_output: is no output beside embedding");
    expect(() => embed({}, hello, truth("stream", true))).toThrow(
      "stream is not supported: embeddings come as a whole",
    );
    expect(embed({}, hello, truth("stream", false)).stream).toBe(false);
    const sampling = createBytesTensor("sampling_parameters", ["{}"]);
    expect(() => embed({}, hello, sampling)).toThrow("sampling_parameters is not supported: nothing is drawn");
  });
});

it("a request has limits", () => {
  const limits = {
    ...INFER_LIMITS,
    tensors: 2,
    dimensions: 2,
    elements: 3,
    idUnits: 2,
    choices: 2,
    inputs: 1,
    jsonBytes: 4,
  };
  const set =
    (given: Given, ...inputs: Tensor[]) =>
    () =>
      read(inputs, { ...given, about: { ...given.about, limits } });
  const rows = (...of: string[]) => createBytesTensor("text_input", of);
  expect(set({ id: "ab" }, hello)).not.toThrow();
  expect(set({ id: "abc" }, hello)).toThrow("id: has 3 characters, and at most 2 are taken");
  expect(set({}, rows("a", "b"))).not.toThrow();
  expect(set({}, rows("a", "b", "c"))).toThrow("text_input: has 3 rows, and at most 2 are taken");
  expect(set({ parameters: { n: 2 } }, rows("a", "b"))).toThrow("n: times 2 prompts is above 2");
  expect(set({ about: { generate: false, embed: true } }, rows("a", "b"))).toThrow("has 2 rows, and at most 1 are");
  expect(set({ parameters: { stop_token_ids: "[12]" } }, hello)).not.toThrow();
  expect(set({ parameters: { stop_token_ids: "[123]" } }, hello)).toThrow("has 5 bytes of JSON, and at most 4");
  expect(set({ outputs: ["text_output", "logprobs", "token_ids"] }, hello)).toThrow("wants 3 outputs, and at most 2");
  expect(set({}, rows("a", "b", "c", "d"))).toThrow("more than 3 elements");
});
