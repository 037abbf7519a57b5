import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  type ModelInferResponse,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import type { Datatype } from "#lib/api/kserve/datatypes";
import { numbersOf } from "#lib/api/kserve/numbers";
import { bytesElements } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import type { AnswerToken } from "#lib/serving/answer";
import { plainAsk } from "#lib/serving/plain-ask";
import { RAW_RESPONSE, STREAM_DATA } from "../../../../test/contract/inference-vectors.ts";
import { createByteText } from "../../../../test/support/rehearsal/byte-text.ts";
import type { AnswerPlan } from "../door.ts";
import { INFER_PRINTERS } from "./print.ts";
import type { InferForm } from "./read.ts";

const FORM: InferForm = {
  ...{ id: "r1", model: "m", kind: "text", contents: "raw" },
  ...{ outputs: ["text_output", "finish_reason"], finalResponse: false },
};
const usage = { promptTokens: 3, cachedTokens: 2, completionTokens: 4 };
const told = { prompt_tokens: 3n, completion_tokens: 4n, total_tokens: 7n, cached_tokens: 2n };

function planOf(choices: number): AnswerPlan {
  return {
    ...{ ask: plainAsk(), text: createByteText(), createdUnixSeconds: 5, choices, stops: undefined, leads: undefined },
    ...{ scored: false, promptOnly: false, soFar: false },
  };
}

const events = (form: Partial<InferForm> = {}, choices = 1) => {
  return INFER_PRINTERS.events!(planOf(choices), { ...FORM, ...form });
};
const body = (form: Partial<InferForm> = {}, choices = 1) => {
  return INFER_PRINTERS.body!(planOf(choices), { ...FORM, ...form });
};
const token = (id: number, logprob: number): AnswerToken => {
  return { id, text: "t", bytes: Uint8Array.of(116), logprob, top: [], offset: 0 };
};

/** What a raw answer says: elements and shape of each output, and parameters. */
function readAnswer(answer: ModelInferResponse | undefined) {
  if (!answer) return undefined;
  const outputs = answer.outputs.map(({ name, datatype, shape }, at) => {
    const data = answer.rawOutputContents[at]!;
    const elements =
      datatype === "BYTES"
        ? bytesElements({ data }).map((one) => Buffer.from(one).toString())
        : [...(numbersOf({ datatype: datatype as Datatype, data }) as Float32Array)];
    return [name, { datatype, shape: shape.map(Number), elements }];
  });
  const parameters = Object.entries(answer.parameters).map(([name, { parameterChoice }]) => [
    name,
    parameterChoice.value,
  ]);
  return { ...(Object.fromEntries(outputs) as object), parameters: Object.fromEntries(parameters) as object };
}
const texts = (...elements: string[]) => ({ datatype: "BYTES", shape: [elements.length], elements });

describe("a whole answer", () => {
  it("has the bytes that others write", () => {
    const printer = body({ outputs: ["text_output"] });
    printer.choice(0, { finish: "stop", text: "hi", tokens: [] });
    const answer = printer.body(usage);
    expect(readAnswer(answer)).toEqual({ text_output: texts("hi"), parameters: told });
    const bytes = toBinary(ModelInferResponseSchema, { ...answer, parameters: {} });
    expect(Buffer.from(bytes).toString("hex")).toBe(RAW_RESPONSE.hex);
  });

  it("has a row for each choice, in whatever order they end", () => {
    const printer = body({}, 2);
    printer.choice(1, { finish: "length", text: "é", tokens: [] });
    printer.choice(0, { finish: "stop", text: "", tokens: [] });
    expect(readAnswer(printer.body(usage))).toEqual({
      ...{ text_output: texts("", "é"), finish_reason: texts("stop", "length"), parameters: told },
    });
  });

  it("has lists that are filled up to the longest", () => {
    const outputs = ["output_ids", "sequence_length", "token_logprobs", "logprobs"] as const;
    const printer = body({ kind: "tokens", outputs }, 2);
    printer.choice(0, { finish: "stop", text: "tt", tokens: [token(5, -0.5), token(6, -1)] });
    printer.choice(1, { finish: "stop", text: "t", tokens: [token(7, -2)] });
    const answer = readAnswer(printer.body(usage)) as Record<string, { elements: string[] }>;
    expect(answer).toMatchObject({
      output_ids: { datatype: "INT32", shape: [2, 2], elements: [5, 6, 7, -1] },
      sequence_length: { datatype: "INT32", shape: [2], elements: [2, 1] },
      token_logprobs: { datatype: "FP32", shape: [2, 2], elements: [-0.5, -1, -2, Number.NaN] },
    });
    expect(answer.logprobs!.elements.map((json) => JSON.parse(json) as unknown)).toMatchObject([
      { content: [{ token: "t", logprob: -0.5 }, { logprob: -1 }] },
      { content: [{ logprob: -2, top_logprobs: [] }] },
    ]);
  });

  it("is typed when the request was", () => {
    const printer = body({ contents: "typed", outputs: ["text_output", "token_ids"] });
    printer.choice(0, { finish: "stop", text: "hi", tokens: [token(5, -1)] });
    const { outputs, rawOutputContents } = printer.body(usage);
    expect(outputs[0]?.contents?.bytesContents.map((one) => Buffer.from(one).toString())).toEqual(["hi"]);
    expect([outputs[1]?.contents?.intContents, rawOutputContents]).toEqual([[5], []]);
  });

  it("on a stream says that it is the last, where that was asked for", () => {
    const printer = body({ finalResponse: true });
    printer.choice(0, { finish: "stop", text: "hi", tokens: [] });
    expect(printer.body(usage).parameters).toMatchObject({
      triton_final_response: { parameterChoice: { value: true } },
    });
  });
});

describe("a streamed answer", () => {
  it("has a message for each event; the last end waits for the usage", () => {
    const printer = events();
    printer.begin({} as never);
    printer.prompt(0, 1, {} as never);
    expect(readAnswer(printer.text(0, "hé", undefined))).toEqual({ text_output: texts("hé"), parameters: {} });
    expect(printer.end(0, "stop", undefined)).toBeUndefined();
    expect(readAnswer(printer.done(usage))).toEqual({
      ...{ text_output: texts(""), finish_reason: texts("stop"), parameters: told },
    });
  });

  it("ends with a message without outputs, where that was asked for", () => {
    const printer = events({ finalResponse: true });
    const data = printer.text(0, "hi", undefined);
    const hex = (inferResponse: ModelInferResponse | undefined) => {
      const message = { $typeName: "inference.ModelStreamInferResponse", errorMessage: "", inferResponse } as const;
      return Buffer.from(toBinary(ModelStreamInferResponseSchema, message)).toString("hex");
    };
    expect(hex(data)).toBe(STREAM_DATA.hex);
    const goesOn = { triton_final_response: false };
    expect(readAnswer(printer.end(0, "length", undefined))).toEqual({
      ...{ text_output: texts(""), finish_reason: texts("length"), parameters: goesOn },
    });
    expect(readAnswer(printer.done(usage))).toEqual({ parameters: { ...told, triton_final_response: true } });
  });

  it("says of which choice it is, where there are several; only the last end waits", () => {
    const printer = events({}, 2);
    expect(readAnswer(printer.text(1, "b", undefined))?.parameters).toEqual({ index: 1n });
    expect(readAnswer(printer.end(1, "stop", undefined))).toMatchObject({
      finish_reason: texts("stop"),
      parameters: { index: 1n },
    });
    expect(readAnswer(printer.text(0, "a", undefined))?.parameters).toEqual({ index: 0n });
    expect(printer.end(0, "length", undefined)).toBeUndefined();
    expect(readAnswer(printer.done(usage))).toMatchObject({
      finish_reason: texts("length"),
      parameters: { index: 0n, ...told },
    });
  });

  it("has tokens one by one, and text behind the last without one", () => {
    const printer = events({ outputs: ["text_output", "token_ids", "sequence_length", "token_logprobs"] });
    expect(readAnswer(printer.token(0, { text: "t", token: token(5, -0.5) }, undefined))).toMatchObject({
      ...{ text_output: texts("t"), token_ids: { shape: [1, 1], elements: [5] }, sequence_length: { elements: [1] } },
      token_logprobs: { shape: [1, 1], elements: [-0.5] },
    });
    expect(readAnswer(printer.token(0, { text: "!", token: undefined }, undefined))).toMatchObject({
      ...{ text_output: texts("!"), token_ids: { shape: [1, 0], elements: [] }, sequence_length: { elements: [0] } },
    });
  });

  it("has no message that says nothing, and an error is none of its messages", () => {
    const printer = events({ outputs: ["finish_reason"], finalResponse: true });
    expect(printer.text(0, "a", undefined)).toBeUndefined();
    expect(printer.failed(new StatorError("NO_WORKERS"))).toBeUndefined();
    expect(readAnswer(printer.end(0, "stop", undefined))).toMatchObject({ finish_reason: texts("stop") });
  });
});

it("vectors are rows, copied as they come in any order", () => {
  const printer = INFER_PRINTERS.embeddings!(planOf(2), { ...FORM, kind: "embedding", outputs: ["embedding"] });
  const values = Float32Array.of(1, 2);
  printer.embedding(1, values);
  values.set([3, 4]);
  printer.embedding(0, values);
  expect(readAnswer(printer.body({ ...usage, completionTokens: 0 }))).toMatchObject({
    embedding: { datatype: "FP32", shape: [2, 2], elements: [3, 4, 1, 2] },
    parameters: { prompt_tokens: 3n, completion_tokens: 0n },
  });
});
