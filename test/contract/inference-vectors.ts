import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { ModelReadyResponseSchema } from "#gen/inference/health_pb";
import {
  ModelInferRequestSchema,
  ModelInferResponseSchema,
  ModelStreamInferResponseSchema,
} from "#gen/inference/infer_pb";
import { DataType, ModelConfigResponseSchema } from "#gen/inference/model_config_pb";

/** A message of the package inference and the bytes that clients and servers of it write. */
export interface InferenceVector {
  /** What it is, for the name of a test. */
  readonly what: string;
  readonly schema: DescMessage;
  readonly hex: string;
  readonly value: Message;
}

function vector<Schema extends DescMessage>(
  what: string,
  schema: Schema,
  [hex, value]: readonly [hex: string, value: MessageInitShape<Schema>],
): InferenceVector {
  return { what, schema, hex, value: create<DescMessage>(schema, value) };
}

const text = (of: string) => Buffer.from(of);
const int64 = (value: bigint) => ({ parameterChoice: { case: "int64Param", value } }) as const;
const double = (value: number) => ({ parameterChoice: { case: "doubleParam", value } }) as const;
const string = (value: string) => ({ parameterChoice: { case: "stringParam", value } }) as const;
const bool = (value: boolean) => ({ parameterChoice: { case: "boolParam", value } }) as const;

/** A request with a text and a truth as raw contents, and parameters. */
export const RAW_REQUEST: InferenceVector = vector("a raw request of text", ModelInferRequestSchema, [
  "0a016d1a02723122100a0a6d61785f746f6b656e731202100822180a0b74656d7065726174757265120921000000000000e03f2a160a0a74" +
    "6578745f696e707574120542595445531a01012a110a0673747265616d1204424f4f4c1a01013a090500000068656c6c6f3a0101",
  {
    modelName: "m",
    id: "r1",
    parameters: { max_tokens: int64(8n), temperature: double(0.5) },
    inputs: [
      { name: "text_input", datatype: "BYTES", shape: [1n] },
      { name: "stream", datatype: "BOOL", shape: [1n] },
    ],
    rawInputContents: [text("\u0005\0\0\0hello"), Uint8Array.of(1)],
  },
]);

/** The same text as typed contents. */
export const TYPED_REQUEST: InferenceVector = vector("a typed request of text", ModelInferRequestSchema, [
  "0a016d2a1f0a0a746578745f696e707574120542595445531a01012a07420568656c6c6f",
  {
    modelName: "m",
    inputs: [{ name: "text_input", datatype: "BYTES", shape: [1n], contents: { bytesContents: [text("hello")] } }],
  },
]);

/** What Triton's client writes for parameters of four types. */
export const CLIENT_REQUEST: InferenceVector = vector("a request of Triton's client", ModelInferRequestSchema, [
  "0a016d1a02723122100a0a6d61785f746f6b656e7312021008220d0a046d6f646512051a03726177220a0a04666c616712020801" +
    "22180a0b74656d7065726174757265120921000000000000e03f2a160a0a746578745f696e707574120542595445531a01013a09" +
    "0500000068656c6c6f",
  {
    modelName: "m",
    id: "r1",
    parameters: { max_tokens: int64(8n), mode: string("raw"), flag: bool(true), temperature: double(0.5) },
    inputs: [{ name: "text_input", datatype: "BYTES", shape: [1n] }],
    rawInputContents: [text("\u0005\0\0\0hello")],
  },
]);

/** A whole answer. */
export const RAW_RESPONSE: InferenceVector = vector("a raw answer of text", ModelInferResponseSchema, [
  "0a016d1201311a0272312a170a0b746578745f6f7574707574120542595445531a01013206020000006869",
  {
    modelName: "m",
    modelVersion: "1",
    id: "r1",
    outputs: [{ name: "text_output", datatype: "BYTES", shape: [1n] }],
    rawOutputContents: [text("\u0002\0\0\0hi")],
  },
]);

/** An answer on a stream, for who asked which one is the last. */
export const STREAM_DATA: InferenceVector = vector("an answer on a stream", ModelStreamInferResponseSchema, [
  "12480a016d1201311a027231221b0a15747269746f6e5f66696e616c5f726573706f6e7365120208002a170a0b746578745f6f757470757412" +
    "0542595445531a01013206020000006869",
  {
    inferResponse: {
      modelName: "m",
      modelVersion: "1",
      id: "r1",
      parameters: { triton_final_response: bool(false) },
      outputs: [{ name: "text_output", datatype: "BYTES", shape: [1n] }],
      rawOutputContents: [text("\u0002\0\0\0hi")],
    },
  },
]);

/** Every vector. */
export const INFERENCE_VECTORS: readonly InferenceVector[] = [
  RAW_REQUEST,
  TYPED_REQUEST,
  CLIENT_REQUEST,
  RAW_RESPONSE,
  STREAM_DATA,
  vector("an empty last answer", ModelStreamInferResponseSchema, [
    "12240a016d1a027231221b0a15747269746f6e5f66696e616c5f726573706f6e736512020801",
    { inferResponse: { modelName: "m", id: "r1", parameters: { triton_final_response: bool(true) } } },
  ]),
  vector("an error on a stream", ModelStreamInferResponseSchema, [
    "0a04626f6f6d12041a027231",
    { errorMessage: "boom", inferResponse: { id: "r1" } },
  ]),
  vector("a model that is ready", ModelReadyResponseSchema, ["0801", { ready: true }]),
  vector("a configuration with several answers for a request", ModelConfigResponseSchema, [
    "0a240a016d2a110a0a746578745f696e707574100d2201018a010664796e616d6f9a01020801",
    {
      config: {
        name: "m",
        input: [{ name: "text_input", dataType: DataType.TYPE_STRING, dims: [1n] }],
        backend: "dynamo",
        modelTransactionPolicy: { decoupled: true },
      },
    },
  ]),
];
