import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it, test } from "vitest";
import {
  type InferParameter,
  type InferTensorContentsSchema,
  type ModelInferRequest,
  ModelInferRequestSchema,
} from "#gen/inference/infer_pb";
import { DATATYPES, type Datatype, datatypeRow } from "./datatypes.ts";
import { createNumberTensor, type Numbers, numbersOf } from "./numbers.ts";
import { createParameter } from "./parameters.ts";
import { printTensors } from "./print-tensors.ts";
import { contentsForm, type ReadTensorsOptions, readTensors, TENSOR_LIMITS } from "./read-tensors.ts";
import { bytesElements, createBytesTensor, type Tensor } from "./tensor.ts";

type Given = Partial<Omit<Tensor, "datatype">> & {
  readonly datatype?: string;
  readonly contents?: MessageInitShape<typeof InferTensorContentsSchema>;
  readonly region?: string;
};

/** A request of tensors with data, as raw contents, or with typed contents. */
function request(...given: readonly Given[]): ModelInferRequest {
  return create(ModelInferRequestSchema, {
    inputs: given.map(({ name = "X", datatype = "UINT8", shape = [1], contents, region }) => {
      const parameters: Record<string, InferParameter> = {};
      if (region !== undefined) parameters.shared_memory_region = createParameter(region);
      return { name, datatype, shape: shape.map(BigInt), contents, parameters };
    }),
    rawInputContents: given.flatMap(({ data }) => (data ? [data] : [])),
  });
}

const bytes = (...of: number[]) => Uint8Array.from(of);
const ofBytes = (...elements: string[]) => createBytesTensor("X", elements);

/** Values of each datatype at its edges. */
const EDGES: Readonly<Record<Exclude<Datatype, "BYTES">, Numbers>> = {
  BOOL: [0, 1],
  UINT8: [0, 255],
  UINT16: [0, 65_535],
  UINT32: [0, 4_294_967_295],
  UINT64: [0n, 2n ** 64n - 1n],
  INT8: [-128, 127],
  INT16: [-32_768, 32_767],
  INT32: [-2_147_483_648, 2_147_483_647],
  INT64: [-(2n ** 63n), 2n ** 63n - 1n],
  FP16: [-65_504, 2 ** -24],
  FP32: [-1.5, 3.4028234663852886e38],
  FP64: [-0.1, Number.MAX_VALUE],
  BF16: [-1.5, 2 ** 127],
};

describe("every datatype", () => {
  const names = Object.keys(DATATYPES) as Datatype[];

  test.each(names)("%s is the same raw and typed, wherever its bytes begin", (datatype) => {
    const tensor =
      datatype === "BYTES"
        ? ofBytes("", "héllo")
        : createNumberTensor("X", datatype, { shape: [2], numbers: EDGES[datatype] });
    const { outputs, rawOutputContents } = printTensors([tensor], "raw");
    expect([outputs[0]?.contents, rawOutputContents]).toEqual([undefined, [tensor.data]]);
    const moved = new Uint8Array(tensor.data.length + 1);
    moved.set(tensor.data, 1);
    const [read] = readTensors(request({ ...tensor, data: moved.subarray(1) }));
    expect(read).toMatchObject({ name: "X", datatype, shape: [2] });
    if (datatype !== "BYTES") expect([...(numbersOf(read!) as number[])]).toEqual([...(EDGES[datatype] as number[])]);

    const typed = printTensors([tensor], "typed");
    const { contents } = typed.outputs[0]!;
    if (!datatypeRow(datatype).field) {
      expect([contents, typed.rawOutputContents]).toEqual([undefined, [tensor.data]]);
    } else {
      const again = readTensors(request({ datatype, shape: [2], contents: contents! }));
      expect([...again[0]!.data]).toEqual([...tensor.data]);
    }
  });

  test("of which one has no typed contents leaves all of an answer raw", () => {
    const half = createNumberTensor("H", "FP16", { shape: [1], numbers: [1] });
    const { outputs, rawOutputContents } = printTensors([ofBytes("a"), half], "typed");
    expect(outputs.map(({ contents }) => contents)).toEqual([undefined, undefined]);
    expect(rawOutputContents).toHaveLength(2);
  });

  test.each([
    ["UINT8", 256],
    ["UINT16", 65_536],
    ["INT8", 128],
    ["INT8", -129],
    ["INT16", -32_769],
  ])("%s has no %d", (datatype, number) => {
    const contents = datatype.startsWith("U") ? { uintContents: [number] } : { intContents: [number] };
    expect(() => readTensors(request({ datatype, contents }))).toThrow(`X: has the element ${number}, outside`);
  });

  test("BOOL is true for whatever is not 0", () => {
    const contents = { boolContents: [true, false] };
    expect([...readTensors(request({ datatype: "BOOL", shape: [2], contents }))[0]!.data]).toEqual([1, 0]);
  });

  test("a length of BYTES has 32 bits without a sign", () => {
    const data = bytes(0, 0, 0, 0x80, 1);
    expect(() => readTensors(request({ datatype: "BYTES", data }))).toThrow("longer than what is left");
  });
});

describe("half numbers", () => {
  const throughHalf = (datatype: "FP16" | "BF16", number: number) => {
    const tensor = createNumberTensor("X", datatype, { shape: [1], numbers: [number] });
    return (numbersOf(tensor) as ArrayLike<number>)[0];
  };

  test.each([
    // Between two, the even one; what rounds up to beyond the largest is infinity.
    ["FP16", 1 + 2 ** -11, 1],
    ["FP16", 1 + 3 * 2 ** -11, 1 + 2 ** -9],
    ["FP16", 2 - 2 ** -12, 2],
    ["FP16", 65_519, 65_504],
    ["FP16", 65_520, Number.POSITIVE_INFINITY],
    ["FP16", -1e300, Number.NEGATIVE_INFINITY],
    ["FP16", 2 ** -25, 0],
    ["FP16", 2 ** -14 - 2 ** -26, 2 ** -14],
    ["FP16", -0, -0],
    ["FP16", Number.NaN, Number.NaN],
    ["BF16", 1 + 2 ** -8, 1],
    ["BF16", 1 + 3 * 2 ** -8, 1 + 2 ** -6],
    ["BF16", 3.4e38, Number.POSITIVE_INFINITY],
    ["BF16", -0, -0],
    ["BF16", Number.NaN, Number.NaN],
  ] as const)("%s of %d is %d", (datatype, number, expected) => {
    expect(throughHalf(datatype, number)).toBe(expected);
  });

  it("are what they were, all 65,536 of each", () => {
    for (const datatype of ["FP16", "BF16"] as const) {
      const all = Uint16Array.from({ length: 65_536 }, (_, at) => at);
      const numbers = numbersOf({ datatype, data: new Uint8Array(all.buffer) }) as Float32Array;
      const again = createNumberTensor("X", datatype, { shape: [65_536], numbers });
      const back = numbersOf(again) as Float32Array;
      expect(back.every((number, at) => Object.is(number, numbers[at]))).toBe(true);
    }
  });

  it("of FP16 are those that the machine reads", () => {
    const view = new DataView(new ArrayBuffer(2)) as DataView & { getFloat16(at: number, little: boolean): number };
    for (let bits = 0; bits < 65_536; bits++) {
      view.setUint16(0, bits, true);
      const [number] = numbersOf({ datatype: "FP16", data: new Uint8Array(view.buffer) }) as Float32Array;
      if (!Object.is(number, view.getFloat16(0, true)))
        expect([bits, number]).toEqual([bits, view.getFloat16(0, true)]);
    }
  });
});

const refuse = (given: ModelInferRequest, options?: ReadTensorsOptions) => {
  try {
    readTensors(given, options);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe("a request is refused", () => {
  const raw = bytes(7);
  test.each<[string, ModelInferRequest, string]>([
    [
      "whose bytes are fewer than its shape says",
      request({ shape: [2], data: raw }),
      "X: has 1 bytes, and its shape says 2 x 1.",
    ],
    [
      "whose bytes are more",
      request({ datatype: "FP16", shape: [0], data: raw }),
      "X: has 1 bytes, and its shape says 0 x 2.",
    ],
    ["with a negative dimension", request({ shape: [-1], data: raw }), "X: has the dimension -1, which is negative."],
    [
      "with 2^31 elements",
      request({ shape: [2 ** 31], data: raw }),
      "X: has a shape of more than 2,147,483,647 elements.",
    ],
    [
      "whose dimensions overflow",
      request({ shape: [2 ** 20, 2 ** 20, 2 ** 24], data: raw }),
      "more than 2,147,483,647",
    ],
    [
      "that is empty beside a dimension beyond all",
      request({ shape: [0, 2 ** 40], data: bytes() }),
      "more than 2,147,483,647",
    ],
    [
      "of a datatype that there is not",
      request({ datatype: "TYPE_FP32", data: raw }),
      "X: has the datatype TYPE_FP32, which there is not.",
    ],
    ["of a datatype that objects have", request({ datatype: "toString", data: raw }), "has the datatype toString"],
    [
      "with raw and typed contents",
      request({ data: raw }, { name: "Y", contents: {} }),
      "The request has 1 raw contents for 2 inputs that need them.",
    ],
    [
      "with both at one tensor",
      request({ data: raw, contents: {} }),
      "X: has typed contents, and the request has raw contents as well",
    ],
    [
      "with more raw contents than tensors",
      create(ModelInferRequestSchema, { rawInputContents: [raw] }),
      "1 raw contents for 0 inputs",
    ],
    [
      "with contents of another field",
      request({ datatype: "INT32", contents: { fp32Contents: [1] } }),
      "X: is INT32 and has contents of another datatype.",
    ],
    [
      "with contents of a second field",
      request({ datatype: "INT32", contents: { intContents: [1], boolContents: [true] } }),
      "X: is INT32 and has contents of another datatype.",
    ],
    [
      "with fewer typed elements",
      request({ datatype: "INT64", shape: [2], contents: { int64Contents: [1n] } }),
      "X: has 1 elements, and its shape says 2.",
    ],
    ["without contents", request({ datatype: "INT64" }), "X: has 0 elements, and its shape says 1."],
    [
      "of halves with typed contents",
      request({ datatype: "BF16", contents: {} }),
      "X: is BF16, which is taken in raw contents only.",
    ],
    [
      "with a torn length",
      request({ datatype: "BYTES", data: bytes(0, 0) }),
      "X: has an element that is longer than what is left of its bytes.",
    ],
    [
      "with an element longer than the rest",
      request({ datatype: "BYTES", data: bytes(2, 0, 0, 0, 1) }),
      "longer than what is left",
    ],
    [
      "with fewer elements than rows",
      request({ datatype: "BYTES", shape: [2], data: bytes(0, 0, 0, 0) }),
      "X: has 1 elements, and its shape says 2.",
    ],
    ["with the same tensor twice", request({ data: raw }, { data: raw }), "X: is there twice."],
    ["with a tensor without a name", request({ name: "", data: raw }), "A tensor without a name: "],
    [
      "with a region where none can be",
      request({ region: "r" }),
      "X: names a region of shared memory, and none is registered here.",
    ],
  ])("%s", (_, given, message) => {
    expect(refuse(given)).toMatchObject({ name: "StatorError", row: { grpc: 3 } });
    expect(refuse(given)).toHaveProperty("message", expect.stringContaining(message));
  });

  it("beyond its limits", () => {
    const set = (limits: Partial<typeof TENSOR_LIMITS>, ...given: Given[]) => {
      return refuse(request(...given), { limits: { ...TENSOR_LIMITS, ...limits } });
    };
    const two = [{ data: raw }, { name: "Y", data: raw }];
    expect(set({ tensors: 2 }, ...two)).toBeUndefined();
    expect(set({ tensors: 1 }, ...two)).toHaveProperty("message", expect.stringMatching("2 inputs, and at most 1"));
    expect(set({ dimensions: 2 }, { shape: [1, 1], data: raw })).toBeUndefined();
    expect(set({ dimensions: 1 }, { shape: [1, 1], data: raw })).toHaveProperty(
      "message",
      expect.stringMatching("2 dim"),
    );
    expect(set({ elements: 2 }, { shape: [2], data: bytes(1, 2) })).toBeUndefined();
    expect(set({ elements: 1 }, { shape: [2], data: bytes(1, 2) })).toHaveProperty(
      "message",
      expect.stringMatching("more than 1 el"),
    );
  });
});

describe("tensors", () => {
  it("are read in their order, borrowed where they are raw, a single one without dimensions too", () => {
    const data = bytes(1, 2, 3, 4);
    const tensors = readTensors(
      request({ name: "A", datatype: "INT32", shape: [], data }, { name: "B", shape: [0], data: bytes() }),
    );
    expect(tensors.map(({ name, shape }) => [name, shape])).toEqual([
      ["A", []],
      ["B", [0]],
    ]);
    expect(tensors[0]?.data).toBe(data);
    expect(readTensors(request())).toEqual([]);
    expect(readTensors(request({ shape: [0] }, { name: "H", datatype: "FP16", shape: [3, 0] }))).toHaveLength(2);
  });

  it("of regions are borrowed from there, beside raw ones, and measured alike", () => {
    const region = () => bytes(5, 6);
    const mixed = request({ shape: [2], region: "r" }, { name: "Y", data: bytes(7) });
    expect(readTensors(mixed, { region }).map(({ data }) => [...data])).toEqual([[5, 6], [7]]);
    expect(contentsForm(request({ region: "r" }))).toBe("raw");
    expect(refuse(request({ shape: [3], region: "r" }), { region })).toMatchObject({ param: "X" });
    const typed = request({ shape: [2], region: "r", contents: {} });
    expect(refuse(typed, { region })).toMatchObject({ facts: { detail: expect.stringMatching("region") as unknown } });
  });

  it("have elements that are views", () => {
    const tensor = ofBytes("ab", "", "c");
    expect(bytesElements(tensor).map((one) => Buffer.from(one).toString())).toEqual(["ab", "", "c"]);
    expect(bytesElements(tensor)[0]?.buffer).toBe(tensor.data.buffer);
  });

  it("are typed when contents are, and raw otherwise", () => {
    expect(contentsForm(request({ contents: { uintContents: [1] } }))).toBe("typed");
    expect(contentsForm(request({ data: bytes(1) }))).toBe("raw");
    expect(contentsForm(request())).toBe("raw");
  });
});
