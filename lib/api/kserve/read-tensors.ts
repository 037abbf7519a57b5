import type {
  InferTensorContents,
  ModelInferRequest,
  ModelInferRequest_InferInputTensor,
} from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import { CONTENTS_FIELDS, type Datatype, datatypeRow, isDatatype } from "./datatypes.ts";
import { SHARED_MEMORY } from "./parameters.ts";
import { countBytesElements, printName, type Tensor, tensorError } from "./tensor.ts";
import { writeContents } from "./typed-contents.ts";

/** What a request may have at most. */
export interface TensorLimits {
  /** Inputs of one request. */
  readonly tensors: number;
  /** Dimensions of one tensor. */
  readonly dimensions: number;
  /** Elements of one tensor. */
  readonly elements: number;
}

/** What requests may have by default: far above what a model takes, and below what any number here can count. */
export const TENSOR_LIMITS: TensorLimits = { tensors: 1024, dimensions: 32, elements: 2_147_483_647 };

/** How tensors are read. */
export interface ReadTensorsOptions {
  /** What a request may have; `TENSOR_LIMITS` where it is left out. */
  readonly limits?: TensorLimits | undefined;
  /**
   * The bytes of an input whose parameters name a region of shared memory; borrowed. Throws what is wrong with them. Where
   * it is left out such an input is refused.
   */
  readonly region?: ((input: ModelInferRequest_InferInputTensor) => Uint8Array) | undefined;
}

/** Where the elements of a request are, and where those of its answer are to be: beside the tensors, or in typed fields. */
export type ContentsForm = "raw" | "typed";

/** How the elements of a request came; raw where none came in either form, as where all are in shared memory. */
export function contentsForm({ inputs, rawInputContents }: ModelInferRequest): ContentsForm {
  return rawInputContents.length === 0 && inputs.some(({ contents }) => contents) ? "typed" : "raw";
}

/** Whether the elements of an input are in a region of shared memory, as its parameters say. */
export function isShared({ parameters }: Pick<ModelInferRequest_InferInputTensor, "parameters">): boolean {
  return Object.hasOwn(parameters, SHARED_MEMORY.region);
}

/**
 * The tensors of a request in their order, each measured against its shape before anything is allocated. Raw ones and those
 * of regions are borrowed; typed ones are written anew, in at most eight times the bytes that they came in. Throws
 * INVALID_FIELD by the name of the tensor.
 */
export function readTensors(request: ModelInferRequest, options: ReadTensorsOptions = {}): Tensor[] {
  const { limits = TENSOR_LIMITS, region } = options;
  const { inputs, rawInputContents: raw } = request;
  if (inputs.length > limits.tensors) {
    throw invalid(`The request has ${inputs.length} inputs, and at most ${limits.tensors} are taken`);
  }
  checkNames(inputs);
  checkCount(inputs, raw);
  let at = 0;
  return inputs.map((input) => {
    const { name, contents } = input;
    const { datatype, shape, elements } = readShape(input, limits);
    const head = { name, datatype, shape };
    if (isShared(input)) {
      if (contents) throw tensorError(name, "has contents, and names a region of shared memory as well");
      if (!region) throw tensorError(name, "names a region of shared memory, and none is registered here");
      return { ...head, data: checkRaw(head, elements, region(input)) };
    }
    if (raw.length === 0) return { ...head, data: readTyped(head, elements, contents) };
    if (contents)
      throw tensorError(name, "has typed contents, and the request has raw contents as well; send one of them");
    return { ...head, data: checkRaw(head, elements, raw[at++] ?? NO_BYTES) };
  });
}

const NO_BYTES = new Uint8Array(0);

function invalid(detail: string): StatorError {
  return new StatorError("INVALID_ARGUMENT", { detail });
}

function checkNames(inputs: ModelInferRequest["inputs"]): void {
  const names = new Set<string>();
  for (const { name } of inputs) {
    if (name === "") throw tensorError(name, "cannot be told apart from others");
    if (names.has(name)) throw tensorError(name, "is there twice");
    names.add(name);
  }
}

/** Raw contents are there for all inputs that are not in shared memory, or for none. */
function checkCount(inputs: ModelInferRequest["inputs"], raw: readonly Uint8Array[]): void {
  if (raw.length === 0) return;
  const wanted = inputs.reduce((count, input) => count + (isShared(input) ? 0 : 1), 0);
  if (raw.length === wanted) return;
  throw invalid(`The request has ${raw.length} raw contents for ${wanted} inputs that need them`);
}

function readShape(
  { name, datatype, shape }: ModelInferRequest_InferInputTensor,
  limits: TensorLimits,
): Pick<Tensor, "datatype" | "shape"> & { readonly elements: number } {
  if (!isDatatype(datatype)) throw tensorError(name, `has the datatype ${printName(datatype)}, which there is not`);
  if (shape.length > limits.dimensions) {
    throw tensorError(name, `has ${shape.length} dimensions, and at most ${limits.dimensions} are taken`);
  }
  const most = BigInt(limits.elements);
  let elements = 1;
  const dimensions = shape.map((dimension) => {
    if (dimension < 0n) throw tensorError(name, `has the dimension ${dimension}, which is negative`);
    // Measured one by one: a dimension of 0 makes a tensor empty, and no other one reasonable.
    if (dimension > most) throw tooMany(name, limits);
    elements *= Number(dimension);
    if (elements > limits.elements) throw tooMany(name, limits);
    return Number(dimension);
  });
  return { datatype, shape: dimensions, elements };
}

function tooMany(name: string, { elements }: TensorLimits): StatorError {
  return tensorError(name, `has a shape of more than ${elements.toLocaleString("en-US")} elements`);
}

/** The same bytes, when they are as many as the shape says. */
function checkRaw(
  { name, datatype }: Pick<Tensor, "name" | "datatype">,
  elements: number,
  data: Uint8Array,
): Uint8Array {
  const { bytes } = datatypeRow(datatype);
  if (bytes > 0) {
    if (data.length === bytes * elements) return data;
    throw tensorError(name, `has ${data.length} bytes, and its shape says ${elements} x ${bytes}`);
  }
  const count = countBytesElements(data);
  if (count === undefined) throw tensorError(name, "has an element that is longer than what is left of its bytes");
  if (count !== elements) throw disagree(name, count, elements);
  return data;
}

function disagree(name: string, count: number, elements: number): StatorError {
  return tensorError(name, `has ${count} elements, and its shape says ${elements}`);
}

function readTyped(
  { name, datatype }: { readonly name: string; readonly datatype: Datatype },
  elements: number,
  contents: InferTensorContents | undefined,
): Uint8Array {
  const { field } = datatypeRow(datatype);
  for (const other of CONTENTS_FIELDS) {
    if (other !== field && contents && contents[other].length > 0) {
      throw tensorError(name, `is ${datatype} and has contents of another datatype`);
    }
  }
  if (!field) {
    if (elements === 0) return NO_BYTES;
    throw tensorError(name, `is ${datatype}, which is taken in raw contents only`);
  }
  const count = contents?.[field].length ?? 0;
  if (count !== elements) throw disagree(name, count, elements);
  return contents ? writeContents(name, datatype, contents) : NO_BYTES;
}
