import { StatorError } from "#lib/base/errors";
import type { Datatype } from "./datatypes.ts";

/** A tensor in the form of raw contents, whatever it came as. */
export interface Tensor {
  /** As the model's metadata has it. */
  readonly name: string;
  /** Of its elements. */
  readonly datatype: Datatype;
  /** Every dimension, 0 or more each; none for a single element. */
  readonly shape: readonly number[];
  /**
   * Row-major and little-endian; BOOL a byte each; BYTES each with its length before it as u32. As long as its shape says.
   * Borrowed from the message, or from the region, that it came in; it may begin at any address.
   */
  readonly data: Uint8Array;
}

/** Bytes before each element of BYTES: its length. */
export const LENGTH_BYTES = 4;

/** Elements of a tensor of this shape. Exact: every shape of a tensor was measured when it was read. */
export function elementsOf({ shape }: Pick<Tensor, "shape">): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/**
 * Elements of BYTES that `data` holds; undefined where one is longer than what is left. Walks over the lengths and
 * allocates nothing.
 */
export function countBytesElements(data: Uint8Array): number | undefined {
  let count = 0;
  let at = 0;
  for (; at + LENGTH_BYTES <= data.length; count++) at += LENGTH_BYTES + lengthAt(data, at);
  return at === data.length ? count : undefined;
}

/** The elements of a tensor of BYTES, views of its data. */
export function bytesElements({ data }: Pick<Tensor, "data">): Uint8Array[] {
  const elements: Uint8Array[] = [];
  for (let at = 0; at < data.length; ) {
    const from = at + LENGTH_BYTES;
    at = from + lengthAt(data, at);
    elements.push(data.subarray(from, at));
  }
  return elements;
}

function lengthAt(data: Uint8Array, at: number): number {
  return (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0;
}

/** Raw data of elements of BYTES, a length before each; text as UTF-8. Copies them. */
export function joinBytes(elements: readonly (string | Uint8Array)[]): Uint8Array {
  const lengths = elements.map((one) => (typeof one === "string" ? Buffer.byteLength(one, "utf8") : one.length));
  const data = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + LENGTH_BYTES + length, 0));
  let at = 0;
  for (const [index, element] of elements.entries()) {
    at = data.writeUInt32LE(lengths[index]!, at);
    if (typeof element === "string") data.write(element, at, "utf8");
    else data.set(element, at);
    at += lengths[index]!;
  }
  return data;
}

/** A tensor of BYTES; text is written as UTF-8. `shape`: one dimension of all elements where it is left out. */
export function createBytesTensor(
  name: string,
  elements: readonly (string | Uint8Array)[],
  shape: readonly number[] = [elements.length],
): Tensor {
  return { name, datatype: "BYTES", shape, data: joinBytes(elements) };
}

/** The error of a tensor that is not as the protocol wants it. Its own data is never told. */
export function tensorError(name: string, detail: string): StatorError {
  const field = printName(name);
  return new StatorError("INVALID_FIELD", { field, detail }, { param: field });
}

/** A name as errors tell it: somebody else's, so not all of a long one. */
export function printName(name: string): string {
  if (name === "") return "A tensor without a name";
  return /^[\w.:/-]{1,64}$/.test(name) ? name : JSON.stringify(name.slice(0, 64));
}
