import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type InferTensorContentsSchema,
  type ModelInferRequest,
  ModelInferRequestSchema,
} from "#gen/inference/infer_pb";
import { DATATYPES, type Datatype, datatypeRow } from "#lib/api/kserve/datatypes";
import { createParameter } from "#lib/api/kserve/parameters";
import { createBytesTensor, type Tensor } from "#lib/api/kserve/tensor";
import { readContents } from "#lib/api/kserve/typed-contents";
import { type Chance, pick } from "#lib/base/chance";

const DATATYPE_NAMES = Object.keys(DATATYPES) as Datatype[];

function oneOf<Of>(chance: Chance, values: readonly Of[]): Of {
  return values[pick(chance, values.length)]!;
}

/** So many bytes. */
export function drawBytes(chance: Chance, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => pick(chance, 256));
}

/** A tensor that is as it should be: any datatype, up to three dimensions of up to four. Its truths are 0 and 1. */
export function drawTensor(chance: Chance, name: string): Tensor {
  const datatype = oneOf(chance, DATATYPE_NAMES);
  const shape = Array.from({ length: pick(chance, 4) }, () => pick(chance, 5));
  const elements = shape.reduce((product, dimension) => product * dimension, 1);
  const { bytes } = datatypeRow(datatype);
  if (bytes === 0) {
    const drawn = Array.from({ length: elements }, () => drawBytes(chance, pick(chance, 6)));
    return createBytesTensor(name, drawn, shape);
  }
  const data = drawBytes(chance, elements * bytes);
  return { name, datatype, shape, data: datatype === "BOOL" ? data.map((byte) => byte & 1) : data };
}

/** A request of tensors, raw or typed. */
export function requestOf(tensors: readonly Tensor[], form: "raw" | "typed"): ModelInferRequest {
  return create(ModelInferRequestSchema, {
    modelName: "m",
    inputs: tensors.map((tensor) => {
      const { name, datatype, shape } = tensor;
      const head = { name, datatype, shape: shape.map(BigInt) };
      return form === "raw" ? head : { ...head, contents: readContents(tensor) };
    }) as ModelInferRequest["inputs"],
    rawInputContents: form === "raw" ? tensors.map(({ data }) => data) : [],
  });
}

/** Names that readers look for, and some that objects have by themselves. */
const NAMES = ["text_input", "input_ids", "input_lengths", "stream", "streaming", "sampling_parameters", "INPUT0"];
const STRANGE_NAMES = ["", "__proto__", "constructor", "text_input\0", "x".repeat(70)];
const DIMENSIONS = [0n, 1n, 1n, 1n, 2n, 3n, -1n, 2n ** 31n, 2n ** 32n, 2n ** 63n - 1n, -(2n ** 63n)];
const JSONS = ["{}", '{"n": 2}', "[", '{"seed": 1e400}', '{"stop": ["a", 1]}', '{"__proto__": 1}', '"', "null"];
const PARAMETERS = [
  "max_tokens",
  "temperature",
  "seed",
  "stop",
  "priority",
  "timeout",
  "sequence_id",
  "stop_token_ids",
];
const VALUES = [true, -1n, 0n, 5n, 2n ** 63n - 1n, 0.5, Number.NaN, Number.NEGATIVE_INFINITY, "", "[1]", "{", "1"];
const OUTPUTS = ["text_output", "token_ids", "logprobs", "embedding", "nothing"];

/** A request that may be anything: names and datatypes that fit or not, shapes of every kind, contents that are not theirs. */
export function drawRequest(chance: Chance): ModelInferRequest {
  const count = pick(chance, 4);
  const isRaw = pick(chance, 3) > 0;
  const draw = (bound: number) => pick(chance, bound) === 0;
  const inputs = Array.from({ length: count }, () => ({
    name: draw(10) ? oneOf(chance, STRANGE_NAMES) : oneOf(chance, NAMES),
    datatype: draw(20) ? oneOf(chance, ["", "FP8", "toString"]) : oneOf(chance, DATATYPE_NAMES),
    shape: Array.from({ length: draw(50) ? 40 : pick(chance, 4) }, () => oneOf(chance, DIMENSIONS)),
    contents: isRaw && !draw(10) ? undefined : drawContents(chance),
    parameters: draw(10) ? { shared_memory_region: createParameter("r") } : {},
  }));
  const raw = isRaw ? inputs.map(() => drawData(chance)) : [];
  if (draw(10)) raw.push(drawData(chance));
  const said = Array.from({ length: pick(chance, 3) }, () => {
    return [oneOf(chance, PARAMETERS), createParameter(oneOf<string | number | bigint | boolean>(chance, VALUES))];
  });
  return create(ModelInferRequestSchema, {
    ...{ modelName: "m", id: draw(2) ? "" : "r", inputs: inputs as ModelInferRequest["inputs"], rawInputContents: raw },
    parameters: Object.fromEntries(said) as ModelInferRequest["parameters"],
    outputs: Array.from({ length: pick(chance, 3) }, () => ({ name: oneOf(chance, OUTPUTS) })),
  });
}

function drawData(chance: Chance): Uint8Array {
  if (pick(chance, 2) === 0) return drawBytes(chance, pick(chance, 20));
  const elements = Array.from({ length: pick(chance, 3) }, () => oneOf(chance, JSONS));
  return createBytesTensor("", elements).data;
}

function drawContents(chance: Chance): MessageInitShape<typeof InferTensorContentsSchema> {
  const numbers = Array.from({ length: pick(chance, 4) }, () => pick(chance, 300));
  const each: readonly MessageInitShape<typeof InferTensorContentsSchema>[] = [
    {},
    { boolContents: numbers.map((one) => one > 100) },
    { intContents: numbers },
    { int64Contents: numbers.map(BigInt) },
    { uintContents: numbers },
    { uint64Contents: numbers.map(BigInt) },
    { fp32Contents: numbers },
    { fp64Contents: numbers },
    { bytesContents: numbers.map((one) => Buffer.from(oneOf(chance, JSONS) + one)) },
    { intContents: numbers, bytesContents: [new Uint8Array(3)] },
  ];
  return oneOf(chance, each);
}

/** The same bytes with up to four changes: a byte that is another one, some that are gone, twice there or new. */
export function mutate(bytes: Uint8Array, chance: Chance): Uint8Array {
  let out = [...bytes];
  for (let left = 1 + pick(chance, 4); left > 0; left--) {
    const at = pick(chance, out.length + 1);
    const length = 1 + pick(chance, 8);
    const kind = pick(chance, 5);
    if (kind === 0) out.splice(at, length);
    else if (kind === 1) out.splice(at, 0, ...out.slice(at, at + length));
    else if (kind === 2) out.splice(at, 0, ...drawBytes(chance, length));
    else if (at < out.length) out[at] = kind === 3 ? out[at]! ^ (1 << pick(chance, 8)) : pick(chance, 256);
  }
  if (pick(chance, 20) === 0) out = out.slice(0, pick(chance, out.length + 1));
  return Uint8Array.from(out);
}

/** The request that bytes are; undefined where they are none. */
export function decodeRequest(bytes: Uint8Array): ModelInferRequest | undefined {
  try {
    return fromBinary(ModelInferRequestSchema, bytes);
  } catch {
    return undefined;
  }
}
