import { describe, expect, it } from "vitest";
import { DataType } from "#gen/inference/model_config_pb";
import type { ModelFeatures } from "#lib/discovery/model-facts";
import { checkVersion, type DescribedModel, modelConfig, modelMetadata } from "./describe.ts";

const ALL: ModelFeatures = {
  ...{ generate: true, embed: true, grammar: true, logprobs: true, promptLogprobs: true },
  ...{ maxTopLogprobs: 2, embeddingSize: 3, missing: {} },
};

function model(features: Partial<ModelFeatures> = {}, input: DescribedModel["input"] = "tokens"): DescribedModel {
  return { name: "m", input, contextTokens: 64, features: { ...ALL, ...features } };
}

const namesOf = (of: DescribedModel) => {
  const { inputs, outputs } = modelMetadata(of);
  return [inputs.map(({ name }) => name), outputs.map(({ name }) => name)];
};
const ANSWER_INPUTS = ["stream", "streaming", "sampling_parameters", "exclude_input_in_output"];

describe("metadata", () => {
  it("names what a model takes and gives, with types as on the wire", () => {
    expect(modelMetadata(model())).toMatchObject({
      ...{ name: "m", versions: ["1"], platform: "stator", properties: { context_tokens: "64" } },
      inputs: [
        { name: "text_input", datatype: "BYTES", shape: [-1n] },
        { name: "input_ids", datatype: "INT32", shape: [-1n, -1n] },
        { name: "input_lengths" },
        { name: "stream", datatype: "BOOL", shape: [1n] },
        { name: "streaming" },
        { name: "sampling_parameters" },
        { name: "exclude_input_in_output" },
      ],
    });
    expect(namesOf(model())[1]).toEqual([
      ...["text_output", "finish_reason", "token_ids", "output_ids", "sequence_length"],
      ...["token_logprobs", "logprobs", "embedding"],
    ]);
  });

  it("names nothing that its workers cannot do", () => {
    const unscored = namesOf(model({ logprobs: false, embed: false }))[1];
    expect(unscored).toEqual(["text_output", "finish_reason", "token_ids", "output_ids", "sequence_length"]);
    expect(namesOf(model({ generate: false }))).toEqual([["text_input", "input_ids", "input_lengths"], ["embedding"]]);
    expect(namesOf(model({ embed: false }, "text"))).toEqual([
      ["text_input", ...ANSWER_INPUTS],
      ["text_output", "finish_reason"],
    ]);
    expect(namesOf(model({ embed: "unknown", logprobs: "unknown" }))).toEqual(namesOf(model()));
  });
});

it("a configuration says the same, what may be left out and whether a request has several answers", () => {
  const config = modelConfig(model());
  expect(config).toMatchObject({
    ...{ name: "m", platform: "stator", backend: "stator", maxBatchSize: 0 },
    modelTransactionPolicy: { decoupled: true },
  });
  expect(config.input[0]).toMatchObject({
    name: "text_input",
    dataType: DataType.TYPE_STRING,
    dims: [-1n],
    optional: false,
  });
  expect(config.input[1]).toMatchObject({ name: "input_ids", dataType: DataType.TYPE_INT32, optional: true });
  expect(config.output.at(-1)).toMatchObject({ name: "embedding", dataType: DataType.TYPE_FP32, dims: [-1n, -1n] });
  expect(modelConfig(model({ generate: false })).modelTransactionPolicy).toMatchObject({ decoupled: false });
});

it("a model has the version 1", () => {
  checkVersion("m", "");
  checkVersion("m", "1");
  expect(() => checkVersion("m", "2")).toThrow("Version 2 of the model m was not found.");
});
