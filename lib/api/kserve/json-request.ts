import { isUtf8 } from "node:buffer";
import { create } from "@bufbuild/protobuf";
import { type ModelInferRequest, ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { asStatorError, StatorError } from "#lib/base/errors";
import { compileCheck } from "../check.ts";
import type { Body } from "../field.ts";
import { parseBody } from "../json-body.ts";
import type { JsonBounds } from "../json-bounds.ts";
import { cutData } from "./cut-data.ts";
import { INFER_FIELDS } from "./json-fields.ts";
import { parseWithSeed, readJsonParameters } from "./json-parameters.ts";
import { readJsonTensor } from "./json-tensor.ts";
import { SHARED_MEMORY } from "./parameters.ts";

/** What a request over HTTP says beside its body. */
export interface InferAddress {
  /** Name of the model, from the path. */
  readonly model: string;
  /** Its version, from the path; empty leaves the choice to the server. */
  readonly version: string;
  /** What the header `Inference-Header-Content-Length` says; undefined without one: the body is JSON as a whole. */
  readonly headerLength: string | undefined;
}

/** Which tensors of an answer come behind its JSON. Data: it may come from another thread. */
export interface BinaryOutputs {
  /** Those that nobody names. */
  readonly others: boolean;
  /** By name of the output. */
  readonly named: ReadonlyMap<string, boolean>;
}

/** A request as the engines have it, and what only concerns its answer. */
export interface InferBody {
  /** All contents raw, one for each input that lies in no shared memory; they may be views of the body. */
  readonly request: ModelInferRequest;
  /** How the answer is printed. */
  readonly binary: BinaryOutputs;
}

type SaidBody = Body<typeof INFER_FIELDS>;
type SaidInput = SaidBody["inputs"][number];

const checkInfer = compileCheck(INFER_FIELDS);

/** Where an input has its bytes behind the JSON of a body. */
export interface BehindJson {
  /** Bytes behind the JSON before it. */
  readonly from: number;
  /** How many they are. */
  readonly bytes: number;
}

/** The JSON of a request, read. */
export interface InferJson extends InferBody {
  /** Without raw contents. */
  readonly request: ModelInferRequest;
  /** The raw contents, where they were in the JSON; in the order of the inputs that lie in no shared memory. */
  readonly contents: readonly (Uint8Array | BehindJson)[];
}

/**
 * Reads the body of POST /v2/models/{model}/infer: JSON, or JSON with raw tensors behind it. Lists of numbers never become
 * values of the language: they are read from the bytes as what they are to be, so that an 8-byte integer keeps its digits and
 * memory is bounded by the body. Borrows the body. Throws INVALID_JSON, INVALID_UTF8, INVALID_FIELD and the others of a
 * check; what the tensors mean is for others to see.
 */
export function readInferBody(body: Uint8Array, address: InferAddress, bounds?: JsonBounds): InferBody {
  const json = body.subarray(0, jsonBytes(address, body.length));
  const behind = body.subarray(json.length);
  const { request, contents, binary } = readInferJson(json, { ...address, behindBytes: behind.length }, bounds);
  request.rawInputContents = contents.map((one) =>
    one instanceof Uint8Array ? one : behind.subarray(one.from, one.from + one.bytes),
  );
  return { request, binary };
}

/** Reads the JSON of such a body, behind which so many bytes follow. Throws as `readInferBody` does. */
export function readInferJson(
  json: Uint8Array,
  { model, version, behindBytes }: Pick<InferAddress, "model" | "version"> & { readonly behindBytes: number },
  bounds?: JsonBounds,
): InferJson {
  if (!isUtf8(json)) throw new StatorError("INVALID_UTF8");
  const { rest, data } = cutData(json);
  const { body: said } = checkInfer(parseRest(Buffer.concat(rest), json, bounds));
  const behind = new Behind(behindBytes);
  const contents = said.inputs.flatMap((input, at) => {
    return readContents(input, { field: `inputs[${at}]`, data: data.get(at), behind }) ?? [];
  });
  behind.end();
  return { request: readRequest(said, { model, version }), contents, binary: readBinaryOutputs(said) };
}

function readRequest(said: SaidBody, { model, version }: Pick<InferAddress, "model" | "version">): ModelInferRequest {
  return create(ModelInferRequestSchema, {
    modelName: model,
    modelVersion: version,
    id: said.id ?? "",
    parameters: readJsonParameters(said.parameters, ["binary_data_output"]),
    inputs: said.inputs.map(({ name, datatype, shape, parameters }) => ({
      ...{ name, datatype, shape: shape.map(BigInt) },
      parameters: readJsonParameters(parameters, ["binary_data_size"]),
    })),
    outputs: said.outputs?.map(({ name, parameters }, at) => {
      if (parameters?.classification) throw noClassification(`outputs[${at}].parameters.classification`);
      return { name, parameters: readJsonParameters(parameters, ["binary_data"]) };
    }),
  });
}

function noClassification(field: string): StatorError {
  const detail = "answers are tensors as they are, without labels";
  return new StatorError("UNSUPPORTED_FIELD", { field, detail }, { param: field });
}

function invalid(field: string, detail: string): StatorError {
  return new StatorError("INVALID_FIELD", { field, detail }, { param: field });
}

/** Bytes of JSON at the start of a body of so many bytes. Throws INVALID_FIELD for a header that says what cannot be. */
export function jsonBytes({ headerLength: said }: Pick<InferAddress, "headerLength">, length: number): number {
  if (said === undefined) return length;
  const bytes = /^\d{1,15}$/.test(said) ? Number(said) : undefined;
  const field = "The header inference-header-content-length";
  if (bytes === undefined) throw new StatorError("INVALID_FIELD", { field, detail: "is not a number of bytes" });
  if (bytes <= length) return bytes;
  throw new StatorError("INVALID_FIELD", { field, detail: `says ${bytes} bytes, and the body has ${length}` });
}

/** Parses what is left of a body. A mistake is told by its place in the whole. */
function parseRest(rest: Uint8Array, json: Uint8Array, bounds: JsonBounds | undefined): unknown {
  try {
    return parseWithSeed(rest, bounds);
  } catch (error) {
    if (asStatorError(error).reason === "INVALID_JSON") parseBody(json, bounds);
    throw error;
  }
}

/** What stands behind the JSON of a body. */
class Behind {
  readonly #length: number;
  #at = 0;

  constructor(length: number) {
    this.#length = length;
  }

  /** Where the next bytes are. */
  take(bytes: number, field: string): BehindJson {
    const left = this.#length - this.#at;
    if (bytes > left) throw invalid(field, `is ${bytes}, and ${left} bytes are left behind the JSON`);
    this.#at += bytes;
    return { from: this.#at - bytes, bytes };
  }

  /** Throws when something is left. */
  end(): void {
    const left = this.#length - this.#at;
    if (left === 0) return;
    const detail = `has ${left} bytes behind the JSON that are of no input`;
    throw new StatorError("INVALID_FIELD", { field: "The body", detail });
  }
}

/** The raw bytes of an input; undefined where they lie in shared memory. */
function readContents(
  { datatype, shape, parameters, data: said }: SaidInput,
  from: { readonly field: string; readonly data: Uint8Array | undefined; readonly behind: Behind },
): Uint8Array | BehindJson | undefined {
  const { field, behind } = from;
  const hasData = said !== undefined && said !== null;
  const size = parameters?.binary_data_size;
  const isShared = parameters?.[SHARED_MEMORY.region] !== undefined;
  const ways = Number(hasData) + Number(size !== undefined) + Number(isShared);
  if (ways !== 1) {
    throw invalid(
      field,
      `has ${ways === 0 ? "none" : "more than one"} of data, binary_data_size and shared_memory_region`,
    );
  }
  if (size !== undefined) {
    const place = `${field}.parameters.binary_data_size`;
    return behind.take(byteCount(size, place), place);
  }
  return from.data && readJsonTensor(from.data, { field: `${field}.data`, datatype, shape });
}

function byteCount(value: unknown, field: string): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(field, "must be a number of bytes");
}

function readBinaryOutputs({ parameters, outputs }: SaidBody): BinaryOutputs {
  const said = (outputs ?? []).map((output, at) => {
    const value = output.parameters?.binary_data;
    return [
      output.name,
      value === undefined ? undefined : isSet(value, `outputs[${at}].parameters.binary_data`),
    ] as const;
  });
  return {
    others: isSet(parameters?.binary_data_output ?? false, "parameters.binary_data_output"),
    named: new Map(said.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
  };
}

function isSet(value: unknown, field: string): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(field, "must be true or false");
}
