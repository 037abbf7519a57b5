import type { InferTensorContents } from "#gen/inference/infer_pb";
import { DataType } from "#gen/inference/model_config_pb";

/** One of the fields of typed contents. */
export type ContentsField = Exclude<keyof InferTensorContents, `$${string}`>;

/** What the elements of a tensor are. */
export interface DatatypeRow {
  /** Of each element; 0 where elements have lengths of their own, each a u32 before its bytes. */
  readonly bytes: number;
  /** Where typed contents hold them; undefined where they travel raw only. */
  readonly field: ContentsField | undefined;
  /** The least and the largest value, where the typed field holds more than these. */
  readonly range?: readonly [number, number];
  /** As a model's configuration names it. */
  readonly wire: DataType;
}

/** Every datatype of the protocol by its name on the wire. The order is that of the protocol's own table. */
export const DATATYPES = {
  BOOL: { bytes: 1, field: "boolContents", wire: DataType.TYPE_BOOL },
  UINT8: { bytes: 1, field: "uintContents", range: [0, 255], wire: DataType.TYPE_UINT8 },
  UINT16: { bytes: 2, field: "uintContents", range: [0, 65_535], wire: DataType.TYPE_UINT16 },
  UINT32: { bytes: 4, field: "uintContents", wire: DataType.TYPE_UINT32 },
  UINT64: { bytes: 8, field: "uint64Contents", wire: DataType.TYPE_UINT64 },
  INT8: { bytes: 1, field: "intContents", range: [-128, 127], wire: DataType.TYPE_INT8 },
  INT16: { bytes: 2, field: "intContents", range: [-32_768, 32_767], wire: DataType.TYPE_INT16 },
  INT32: { bytes: 4, field: "intContents", wire: DataType.TYPE_INT32 },
  INT64: { bytes: 8, field: "int64Contents", wire: DataType.TYPE_INT64 },
  FP16: { bytes: 2, field: undefined, wire: DataType.TYPE_FP16 },
  FP32: { bytes: 4, field: "fp32Contents", wire: DataType.TYPE_FP32 },
  FP64: { bytes: 8, field: "fp64Contents", wire: DataType.TYPE_FP64 },
  BYTES: { bytes: 0, field: "bytesContents", wire: DataType.TYPE_STRING },
  BF16: { bytes: 2, field: undefined, wire: DataType.TYPE_BF16 },
} as const satisfies Readonly<Record<string, DatatypeRow>>;

/** Name of a datatype. */
export type Datatype = keyof typeof DATATYPES;

/** Every field of typed contents. */
export const CONTENTS_FIELDS: readonly ContentsField[] = [
  "boolContents",
  "intContents",
  "int64Contents",
  "uintContents",
  "uint64Contents",
  "fp32Contents",
  "fp64Contents",
  "bytesContents",
];

/** Whether a name is that of a datatype. */
export function isDatatype(name: string): name is Datatype {
  return Object.hasOwn(DATATYPES, name);
}

/** The row of a datatype, with the wide types. */
export function datatypeRow(datatype: Datatype): DatatypeRow {
  return DATATYPES[datatype];
}
