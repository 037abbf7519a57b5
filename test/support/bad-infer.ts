import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { createParameter } from "#lib/api/kserve/parameters";

/** A tensor of a request that is wrong somewhere. */
export interface BadTensor {
  readonly name: string;
  readonly datatype: string;
  /** What a number of JSON cannot hold is a bigint. */
  readonly shape: readonly (number | bigint)[];
  /** Raw contents; none where they are elsewhere. */
  readonly raw?: Uint8Array;
  /** Parameters of the tensor. */
  readonly parameters?: Readonly<Record<string, string | number>>;
}

/** A request that is wrong somewhere, in the words of both ports. */
export interface BadInfer {
  readonly model: string;
  readonly version?: string;
  readonly inputs: readonly BadTensor[];
  /** Names of outputs. */
  readonly outputs?: readonly string[];
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
}

/** How a port refuses it. */
export interface Refused {
  /** gRPC code, and the status that HTTP has for it. */
  readonly as: "INVALID_ARGUMENT" | "NOT_FOUND" | "UNIMPLEMENTED";
  /** Part of its sentence. */
  readonly words: string | RegExp;
}

/** The codes and statuses of refusals. */
export const STATUSES = {
  INVALID_ARGUMENT: { grpc: 3, http: 400 },
  NOT_FOUND: { grpc: 5, http: 404 },
  UNIMPLEMENTED: { grpc: 12, http: 400 },
} as const;

/** The message of a request. */
export function badMessage(
  { model, version = "", inputs, outputs = [], parameters = {} }: BadInfer,
  more: MessageInitShape<typeof ModelInferRequestSchema> = {},
): Uint8Array {
  const parametersOf = (values: BadTensor["parameters"] | BadInfer["parameters"] = {}) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, createParameter(value)]));
  const request = create(ModelInferRequestSchema, {
    modelName: model,
    modelVersion: version,
    id: "bad",
    parameters: parametersOf(parameters),
    inputs: inputs.map(({ name, datatype, shape, parameters: own }) => {
      return { name, datatype, shape: shape.map(BigInt), parameters: parametersOf(own) };
    }),
    outputs: outputs.map((name) => ({ name })),
    rawInputContents: inputs.flatMap(({ raw }) => raw ?? []),
    ...more,
  });
  return toBinary(ModelInferRequestSchema, request);
}

/** A body of HTTP: where it goes, what its header says of its JSON, and all of its bytes. */
export interface BadBody {
  readonly path: string;
  readonly jsonBytes?: string;
  readonly body: Uint8Array;
}

/** The same request as a body, its contents behind the JSON. */
export function badBody({ model, version, inputs, outputs, parameters = {} }: BadInfer): BadBody {
  const json = {
    id: "bad",
    parameters,
    inputs: inputs.map(({ raw, parameters: own, ...head }) => {
      return { ...head, parameters: { ...own, ...(raw && { binary_data_size: raw.length }) } };
    }),
    ...(outputs && { outputs: outputs.map((name) => ({ name })) }),
  };
  // A bigint is a number of JSON all the same.
  const text = JSON.stringify(json, (_, value: unknown) => (typeof value === "bigint" ? `~${value}~` : value));
  const head = Buffer.from(text.replaceAll(/"~(-?\d+)~"/g, "$1"));
  const path = `/v2/models/${model}${version ? `/versions/${version}` : ""}/infer`;
  const behind = inputs.flatMap(({ raw }) => raw ?? []);
  return { path, jsonBytes: String(head.length), body: Buffer.concat([head, ...behind]) };
}

/** An element of BYTES. */
export function bytesElement(content: string | Uint8Array, says?: number): Buffer {
  const bytes = Buffer.from(content as string);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(says ?? bytes.length);
  return Buffer.concat([length, bytes]);
}
