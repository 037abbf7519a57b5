import { type Datatype, datatypeRow } from "#lib/api/kserve/datatypes";
import { createNumberTensor, numbersOf } from "#lib/api/kserve/numbers";
import { bytesElements, countBytesElements, joinBytes } from "#lib/api/kserve/tensor";
import { viewBytes } from "#lib/base/bytes";

/** What holds the elements of each datatype in JavaScript. FP16 and BF16 are read exactly and rounded when they are made. */
interface ValuesByDatatype {
  readonly BOOL: Uint8Array;
  readonly UINT8: Uint8Array;
  readonly UINT16: Uint16Array;
  readonly UINT32: Uint32Array;
  readonly UINT64: BigUint64Array;
  readonly INT8: Int8Array;
  readonly INT16: Int16Array;
  readonly INT32: Int32Array;
  readonly INT64: BigInt64Array;
  readonly FP16: Float32Array;
  readonly FP32: Float32Array;
  readonly FP64: Float64Array;
  readonly BF16: Float32Array;
  readonly BYTES: readonly Uint8Array[];
}

/** The elements of a tensor of a datatype, row-major: BOOL is 0 or 1, an element of BYTES is a view. */
export type ValuesOf<Type extends Datatype> = ValuesByDatatype[Type];

/** Datatypes whose elements lie in memory as JavaScript has them, on a machine that is little-endian. */
const ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP32: Float32Array,
  FP64: Float64Array,
} as const satisfies Partial<Readonly<Record<Datatype, unknown>>>;

/** Reads the elements of a tensor whose length was checked; a view where it is aligned, else a copy. */
export function readValues(datatype: Datatype, data: Uint8Array): ValuesOf<Datatype> {
  if (datatype === "BYTES") return bytesElements({ data });
  // What is read of each datatype is what the table above says.
  return numbersOf({ datatype, data }) as ValuesOf<Datatype>;
}

/** The bytes of elements, a view where there is one; undefined when they are not what holds the datatype. */
export function makeBytes(datatype: Datatype, values: unknown): Uint8Array | undefined {
  if (datatype === "BYTES") return isElements(values) ? joinBytes(values) : undefined;
  if (datatype !== "FP16" && datatype !== "BF16") {
    return values instanceof ARRAYS[datatype] ? viewBytes(values) : undefined;
  }
  if (!(values instanceof Float32Array)) return undefined;
  return createNumberTensor("", datatype, { shape: [values.length], numbers: values }).data;
}

/** How many elements these bytes are; undefined when they are not whole ones. */
export function measureBytes(datatype: Datatype, data: Uint8Array): number | undefined {
  const { bytes } = datatypeRow(datatype);
  if (bytes === 0) return countBytesElements(data);
  return data.byteLength % bytes === 0 ? data.byteLength / bytes : undefined;
}

function isElements(values: unknown): values is readonly Uint8Array[] {
  return Array.isArray(values) && values.every((value) => value instanceof Uint8Array);
}
