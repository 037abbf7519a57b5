import { create } from "@bufbuild/protobuf";
import { type ModelMetadataResponse, ModelMetadataResponseSchema } from "#gen/inference/metadata_pb";
import { type ModelConfig, ModelConfigSchema } from "#gen/inference/model_config_pb";
import { DATATYPES } from "#lib/api/kserve/datatypes";
import { printName } from "#lib/api/kserve/tensor";
import { StatorError } from "#lib/base/errors";
import type { ServedModel } from "../../models/served.ts";
import { INPUTS, type InferInput, type InferOutput, OUTPUTS, type TensorRow } from "./tensors.ts";

/** The version of every text and embedding model. */
export const MODEL_VERSION = "1";

/** What runs text and embedding models, as metadata and configurations say it. */
export const PLATFORM = "stator";

/** What a description of a model is made of. */
export type DescribedModel = Pick<ServedModel, "name" | "input" | "contextTokens" | "features">;

/** Throws NOT_FOUND for a version that a text or embedding model does not have; an empty one is any. */
export function checkVersion(model: string, version: string): void {
  if (version === "" || version === MODEL_VERSION) return;
  throw new StatorError("NOT_FOUND", { what: `Version ${printName(version)} of the model ${printName(model)}` });
}

/** The tensors of a text or embedding model, as ModelMetadata tells them. */
export function modelMetadata(model: DescribedModel): ModelMetadataResponse {
  const { inputs, outputs } = tensorsOf(model);
  return create(ModelMetadataResponseSchema, {
    name: model.name,
    versions: [MODEL_VERSION],
    platform: PLATFORM,
    inputs: inputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) })),
    outputs: outputs.map(({ name, datatype, shape }) => ({ name, datatype, shape: shape.map(BigInt) })),
    properties: { context_tokens: String(model.contextTokens) },
  });
}

/** How a text or embedding model is set up, as ModelConfig tells it. */
export function modelConfig(model: DescribedModel): ModelConfig {
  const { inputs, outputs } = tensorsOf(model);
  return create(ModelConfigSchema, {
    name: model.name,
    platform: PLATFORM,
    backend: PLATFORM,
    input: inputs.map(({ name, datatype, shape, optional }) => {
      return { name, dataType: DATATYPES[datatype].wire, dims: shape.map(BigInt), optional };
    }),
    output: outputs.map(({ name, datatype, shape }) => {
      return { name, dataType: DATATYPES[datatype].wire, dims: shape.map(BigInt) };
    }),
    parameters: { context_tokens: { stringValue: String(model.contextTokens) } },
    modelTransactionPolicy: { decoupled: isGenerating(model) },
  });
}

interface NamedRow extends TensorRow {
  readonly name: string;
}

/** Names of inputs that only answers have a use for. */
const ANSWER_INPUTS: readonly InferInput[] = ["stream", "streaming", "sampling_parameters", "exclude_input_in_output"];

/** Names of what needs the tokenizer here. */
const TOKEN_INPUTS: readonly InferInput[] = ["input_ids", "input_lengths"];

/** The same of outputs. */
const TEXT_OUTPUTS: readonly InferOutput[] = ["text_output", "finish_reason"];

/** The rows that a model of these features has. What nobody knows is tried, so it is told. */
function tensorsOf(model: DescribedModel): {
  readonly inputs: readonly NamedRow[];
  readonly outputs: readonly NamedRow[];
} {
  const { embed, logprobs } = model.features;
  const answers = isGenerating(model);
  const hasIds = model.input === "tokens";
  const isTaken = (name: InferInput) => {
    return (answers || !ANSWER_INPUTS.includes(name)) && (hasIds || !TOKEN_INPUTS.includes(name));
  };
  const isGiven = (name: InferOutput) => {
    if (name === "embedding") return embed !== false;
    if (!answers) return false;
    if (TEXT_OUTPUTS.includes(name)) return true;
    return hasIds && (logprobs !== false || (name !== "token_logprobs" && name !== "logprobs"));
  };
  return { inputs: rowsOf(INPUTS, isTaken), outputs: rowsOf(OUTPUTS, isGiven) };
}

function isGenerating({ features: { generate } }: DescribedModel): boolean {
  return generate !== false;
}

function rowsOf<Name extends string>(
  table: Readonly<Record<Name, TensorRow>>,
  isThere: (name: Name) => boolean,
): readonly NamedRow[] {
  const names = Object.keys(table) as Name[];
  return names.filter(isThere).map((name) => ({ name, ...table[name] }));
}
