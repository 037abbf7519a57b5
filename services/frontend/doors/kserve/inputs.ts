import { isUtf8 } from "node:buffer";
import type { Datatype } from "#lib/api/kserve/datatypes";
import { bytesElements, elementsOf, printName, type Tensor, tensorError } from "#lib/api/kserve/tensor";
import { readU32 } from "#lib/base/bytes";
import type { StatorError } from "#lib/base/errors";
import { nearest } from "#lib/base/nearest";
import type { TextInput, TokenInput } from "#lib/serving/ask";
import { INPUTS, type InferInput, isInput } from "./tensors.ts";

/** Texts of more bytes stay UTF-8: the encoder takes them as they are. */
const LONG_BYTES = 65_536;

/** Words of 32 bits that an id of each datatype has. */
const ID_WORDS: Readonly<Partial<Record<Datatype, number>>> = { INT32: 1, UINT32: 1, INT64: 2 };

/** The inputs of one request by name. */
export type Inputs = Readonly<Partial<Record<InferInput, Tensor>>>;

/** Sorts tensors by name; throws for a name that is none. */
export function sortInputs(tensors: readonly Tensor[], model: string): Inputs {
  const inputs: Partial<Record<InferInput, Tensor>> = {};
  for (const tensor of tensors) {
    if (!isInput(tensor.name)) throw unknownTensor("input", { name: tensor.name, model, known: Object.keys(INPUTS) });
    inputs[tensor.name] = tensor;
  }
  return inputs;
}

/** The error of an input or output that there is not. */
export function unknownTensor(
  what: "input" | "output",
  { name, model, known }: { readonly name: string; readonly model: string; readonly known: Iterable<string> },
): StatorError {
  const meant = name.length > 32 ? undefined : nearest(name, known);
  return tensorError(name, `is no ${what} of ${printName(model)}${meant ? `; did you mean ${meant}?` : ""}`);
}

/** The prompts of a request: text or ids, at least one and at most so many. Throws INVALID_FIELD by the name of the input. */
export function readPrompts(inputs: Inputs, most: number): TextInput | TokenInput {
  const { text_input: text, input_ids: ids, input_lengths: lengths } = inputs;
  if (text && ids) throw tensorError("input_ids", "cannot be there beside text_input; send one of them");
  if (lengths && !ids) throw tensorError("input_lengths", "is taken only with input_ids");
  if (ids) return readIds(ids, lengths, most);
  if (!text) throw tensorError("text_input", "is required, or input_ids in its place");
  return readTexts(text, most);
}

function readTexts(tensor: Tensor, most: number): TextInput {
  requireDatatype(tensor, "BYTES");
  checkRows(tensor.name, elementsOf(tensor), most);
  return { kind: "text", texts: bytesElements(tensor).map((bytes) => readText(tensor.name, bytes)) };
}

/** A short one as a string; a long one as bytes of its own, so that it keeps no message alive. */
function readText(name: string, bytes: Uint8Array): string | Uint8Array {
  if (!isUtf8(bytes)) throw tensorError(name, "is not valid UTF-8");
  if (bytes.length > LONG_BYTES) return new Uint8Array(bytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
}

function readIds(tensor: Tensor, lengths: Tensor | undefined, most: number): TokenInput {
  const { name, shape } = tensor;
  if (shape.length !== 1 && shape.length !== 2) throw tensorError(name, "must have one or two dimensions");
  const [rows, width] = shape.length === 1 ? [1, shape[0] ?? 0] : [shape[0] ?? 0, shape[1] ?? 0];
  checkRows(name, rows, most);
  const ids = readWords(tensor);
  const counts = lengths && readLengths(lengths, { rows, width });
  const prompts = Array.from({ length: rows }, (_, row) => {
    const from = row * width;
    return ids.subarray(from, from + (counts?.[row] ?? width));
  });
  return { kind: "tokens", prompts, tokenizer: "" };
}

function readLengths(tensor: Tensor, { rows, width }: { readonly rows: number; readonly width: number }): Uint32Array {
  const lengths = readWords(tensor);
  if (lengths.length !== rows) throw tensorError(tensor.name, `has ${lengths.length} elements for ${rows} rows of ids`);
  for (const length of lengths) {
    if (length < 1 || length > width) throw tensorError(tensor.name, `has ${length} for a row of ${width} ids`);
  }
  return lengths;
}

/** Whole numbers that are not negative, as 32 bits each in memory of its own. */
function readWords(tensor: Tensor): Uint32Array {
  const { name, datatype, data } = tensor;
  const width = ID_WORDS[datatype];
  if (width === undefined) throw tensorError(name, `must be INT32, INT64 or UINT32, not ${datatype}`);
  const words = readU32(data);
  const out = new Uint32Array(words.length / width);
  const most = datatype === "UINT32" ? 0xff_ff_ff_ff : 0x7f_ff_ff_ff;
  for (let at = 0; at < out.length; at++) {
    const word = words[at * width]!;
    if (word > most || (width === 2 && words[at * 2 + 1] !== 0)) {
      throw tensorError(name, "has an element that is negative, or larger than a token id");
    }
    out[at] = word;
  }
  return out;
}

function checkRows(name: string, rows: number, most: number): void {
  if (rows === 0) throw tensorError(name, "has no rows");
  if (rows > most) throw tensorError(name, `has ${rows} rows, and at most ${most} are taken`);
}

/** A truth that is an input by itself; undefined where it is not there. */
export function readTruth(tensor: Tensor | undefined): boolean | undefined {
  if (!tensor) return undefined;
  requireDatatype(tensor, "BOOL");
  requireSingle(tensor);
  return tensor.data[0] !== 0;
}

/** A text that is an input by itself, not decoded; undefined where it is not there. */
export function readSingle(tensor: Tensor | undefined): Uint8Array | undefined {
  if (!tensor) return undefined;
  requireDatatype(tensor, "BYTES");
  requireSingle(tensor);
  return bytesElements(tensor)[0];
}

function requireDatatype({ name, datatype }: Tensor, wanted: Datatype): void {
  if (datatype !== wanted) throw tensorError(name, `must be ${wanted}, not ${datatype}`);
}

function requireSingle(tensor: Tensor): void {
  const elements = elementsOf(tensor);
  if (elements !== 1) throw tensorError(tensor.name, `must have one element, not ${elements}`);
}
