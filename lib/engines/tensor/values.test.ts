import { describe, expect, it } from "vitest";
import { DATATYPES, type Datatype } from "#lib/api/kserve/datatypes";
import { makeBytes, measureBytes, readValues, type ValuesOf } from "./values.ts";

const VALUES: { readonly [Type in Datatype]: ValuesOf<Type> } = {
  BOOL: Uint8Array.of(0, 1),
  UINT8: Uint8Array.of(0, 255),
  UINT16: Uint16Array.of(1, 65_535),
  UINT32: Uint32Array.of(1, 4_294_967_295),
  UINT64: BigUint64Array.of(1n, 18_446_744_073_709_551_615n),
  INT8: Int8Array.of(-128, 127),
  INT16: Int16Array.of(-32_768, 32_767),
  INT32: Int32Array.of(-2_147_483_648, 2_147_483_647),
  INT64: BigInt64Array.of(-9_223_372_036_854_775_808n, 1n),
  FP16: Float32Array.of(-1.5, 65_504),
  FP32: Float32Array.of(-0.1, 3e38),
  FP64: Float64Array.of(-0.1, 1e308),
  BF16: Float32Array.of(-1.5, 2 ** 100),
  BYTES: [Buffer.from("one"), Buffer.from("")],
};

describe("the values of a tensor", () => {
  for (const datatype of Object.keys(DATATYPES) as Datatype[]) {
    it(`of ${datatype} come back from their bytes, wherever these begin`, () => {
      const bytes = makeBytes(datatype, VALUES[datatype]);
      if (!bytes) throw new Error("no bytes");
      expect(measureBytes(datatype, bytes)).toBe(2);
      for (const offset of [0, 1]) {
        const place = Buffer.alloc(bytes.byteLength + offset);
        place.set(bytes, offset);
        expect(readValues(datatype, place.subarray(offset))).toEqual(VALUES[datatype]);
      }
      expect(makeBytes(datatype, [1, 2])).toBeUndefined();
      expect(makeBytes(datatype, undefined)).toBeUndefined();
    });
  }

  it("are made without a copy where JavaScript holds them so", () => {
    const values = Int32Array.of(1, 2, 3).subarray(1);
    const bytes = makeBytes("INT32", values);
    values[0] = 9;
    expect(bytes && new Int32Array(bytes.buffer, bytes.byteOffset, 2)).toEqual(Int32Array.of(9, 3));
  });

  it("are not measured where the last one is torn", () => {
    expect(measureBytes("INT32", new Uint8Array(6))).toBeUndefined();
    expect(measureBytes("BYTES", Uint8Array.of(2, 0, 0, 0, 65))).toBeUndefined();
  });
});
