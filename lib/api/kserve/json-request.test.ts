import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { printHex } from "#lib/base/bytes";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { eachSeed } from "../../../test/support/seeds.ts";
import { DATATYPES, type Datatype } from "./datatypes.ts";
import { readInferBody } from "./json-request.ts";
import { createNumberTensor, type Numbers } from "./numbers.ts";
import { joinBytes } from "./tensor.ts";

const ADDRESS = { model: "m", version: "", headerLength: undefined };
const read = (body: unknown) => readInferBody(Buffer.from(JSON.stringify(body)), ADDRESS);
const readBinary = (json: string, binary: Uint8Array, headerLength = String(Buffer.byteLength(json))) =>
  readInferBody(Buffer.concat([Buffer.from(json), binary]), { ...ADDRESS, headerLength });

const TEXT = { name: "text_input", shape: [1], datatype: "BYTES", data: ["hello"] };

describe("the bytes of the protocol's own clients", () => {
  const json =
    '{"inputs":[{"name":"text_input","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":9}}],"parameters":{"binary_data_output":true}}';

  it("a tensor behind the JSON is the one of the message, as a view of the body", () => {
    expect(json.length).toBe(142);
    const body = Buffer.concat([Buffer.from(json), Buffer.from("0500000068656c6c6f", "hex")]);
    const { request, binary } = readInferBody(body, { ...ADDRESS, headerLength: "142" });
    expect(printHex(toBinary(ModelInferRequestSchema, request))).toBe(
      `0a016d${"2a160a0a746578745f696e707574120542595445531a0101"}${"3a090500000068656c6c6f"}`,
    );
    expect(request.rawInputContents[0]!.buffer).toBe(body.buffer);
    expect(binary).toEqual({ others: true, named: new Map() });
  });

  it("a request of JSON alone is the same message", () => {
    const { request, binary } = read({
      id: "r1",
      parameters: { max_tokens: 8, temperature: 0.5 },
      inputs: [TEXT, { name: "stream", shape: [1], datatype: "BOOL", data: [true] }],
    });
    expect(printHex(toBinary(ModelInferRequestSchema, request))).toBe(
      "0a016d1a02723122100a0a6d61785f746f6b656e731202100822180a0b74656d7065726174757265120921000000000000e03f2a160a0a746578745f696e707574120542595445531a01012a110a0673747265616d1204424f4f4c1a01013a090500000068656c6c6f3a0101",
    );
    expect(binary).toEqual({ others: false, named: new Map() });
  });
});

describe("what is said beside tensors", () => {
  it("the model is the one of the path, which KServe's clients name in the body as well", () => {
    expect(read({ model_name: "n", inputs: [TEXT] }).request.modelName).toBe("m");
    expect(() => read({ model_name: 1, inputs: [TEXT] })).toThrow(StatorError);
  });

  it("goes on as parameters, but for what only HTTP has", () => {
    const shared = { shared_memory_region: "r", shared_memory_byte_size: 64 };
    const { request, binary } = read({
      inputs: [
        { ...TEXT, parameters: { a: "x" } },
        { name: "B", shape: [16], datatype: "INT32", parameters: shared },
      ],
      outputs: [
        { name: "O", parameters: { binary_data: true, b: 1 } },
        { name: "P", parameters: { binary_data: false } },
      ],
      parameters: { binary_data_output: true, flag: false, text: "t", half: 0.5 },
    });
    const values = (parameters: typeof request.parameters) =>
      Object.entries(parameters).map(([name, { parameterChoice }]) => [
        name,
        parameterChoice.case,
        parameterChoice.value,
      ]);
    expect(values(request.inputs[0]!.parameters)).toEqual([["a", "stringParam", "x"]]);
    expect(values(request.inputs[1]!.parameters)).toEqual([
      ["shared_memory_region", "stringParam", "r"],
      ["shared_memory_byte_size", "int64Param", 64n],
    ]);
    expect(request.rawInputContents.length).toBe(1);
    expect(request.outputs.map(({ name, parameters }) => [name, values(parameters)])).toEqual([
      ["O", [["b", "int64Param", 1n]]],
      ["P", []],
    ]);
    expect(values(request.parameters)).toEqual([
      ["flag", "boolParam", false],
      ["text", "stringParam", "t"],
      ["half", "doubleParam", 0.5],
    ]);
    expect(binary).toEqual({
      others: true,
      named: new Map([
        ["O", true],
        ["P", false],
      ]),
    });
  });

  it("a seed keeps the digits that a double does not hold", () => {
    const body = `{"parameters":{"seed":9223372036854775807},"inputs":[${JSON.stringify(TEXT)}]}`;
    const { request } = readInferBody(Buffer.from(body), ADDRESS);
    expect(request.parameters.seed?.parameterChoice).toEqual({ case: "int64Param", value: 2n ** 63n - 1n });
  });

  it("an id or outputs that are null are not there", () => {
    const { request } = read({ id: null, inputs: [TEXT], outputs: null, parameters: null });
    expect([request.id, request.outputs]).toEqual(["", []]);
  });
});

describe("what is wrong is refused by its name", () => {
  it.each<[string, unknown]>([
    ["inputs: is required", {}],
    ["inputs: must have at least 1 item", { inputs: [] }],
    ["inputs[0].name: is required", { inputs: [{ shape: [1], datatype: "BYTES", data: ["a"] }] }],
    ["inputs[0].shape[0]: must be a whole number of at least 0", { inputs: [{ ...TEXT, shape: [-1] }] }],
    ["inputs[0].shape", { inputs: [{ ...TEXT, shape: Array(17).fill(1) }] }],
    ["inputs[0].datatype: must be one of", { inputs: [{ ...TEXT, datatype: "TYPE_STRING" }] }],
    ["inputs[0].data: must be a list", { inputs: [{ ...TEXT, data: "hello" }] }],
    ["inputs[0].data: has 2 elements; the shape says 1", { inputs: [{ ...TEXT, data: ["a", "b"] }] }],
    ["inputs[0]: has none of data", { inputs: [{ ...TEXT, data: null }] }],
    ["inputs[0]: has more than one of data", { inputs: [{ ...TEXT, parameters: { binary_data_size: 1 } }] }],
    ["Unknown field inputs[0].dtype", { inputs: [{ ...TEXT, dtype: "x" }] }],
    ["Unknown field output. Did you mean outputs", { inputs: [TEXT], output: [] }],
    ["parameters.a: must be", { inputs: [{ ...TEXT, parameters: { a: [1] } }] }],
    ["parameters.a: must be", { inputs: [TEXT], parameters: { a: null } }],
    ["parameters.stop: must be", { inputs: [TEXT], parameters: { stop: ["a"] } }],
    ["parameters.binary_data_output: must be true or false", { inputs: [TEXT], parameters: { binary_data_output: 1 } }],
    [
      "classification is not supported",
      { inputs: [TEXT], outputs: [{ name: "O", parameters: { classification: 3 } }] },
    ],
    ["The body: must be an object", [1]],
  ])("%s", (sentence, body) => {
    expect(() => read(body)).toThrow(sentence);
    expect(() => read(body)).toThrow(StatorError);
  });

  const input = (size: unknown) =>
    JSON.stringify({ inputs: [{ name: "a", shape: [1], datatype: "INT8", parameters: { binary_data_size: size } }] });

  it.each<[string, string, number, string?]>([
    ["says 200 bytes, and the body has", input(1), 1, "200"],
    ["is not a number of bytes", input(1), 1, "-1"],
    ["is not a number of bytes", input(1), 1, "0x10"],
    ["expected a value at line 1, column 1", input(1), 1, "0"],
    ["is 2, and 1 bytes are left behind the JSON", input(2), 1],
    ["has 1 bytes behind the JSON that are of no input", input(1), 2],
    ["binary_data_size: must be a number of bytes", input(-1), 2],
    ["binary_data_size: must be a number of bytes", input("1"), 2],
  ])("the header: %s", (sentence, json, bytes, header) => {
    expect(() => readBinary(json, new Uint8Array(bytes), header)).toThrow(sentence);
  });

  it("JSON that is none is told by its place in the whole body", () => {
    const body = `{"inputs":[{"name":"a","shape":[3],"datatype":"INT8","data":[1,2,3]} ${"x"}]}`;
    expect(() => readInferBody(Buffer.from(body), ADDRESS)).toThrow(`line 1, column ${body.indexOf("x") + 1}`);
    expect(() => readInferBody(Buffer.of(0xff), ADDRESS)).toThrow("not valid UTF-8");
    const bad = Buffer.concat([Buffer.from('{"inputs":[{"data":["'), Buffer.of(0xc3), Buffer.from('"]}]}')]);
    expect(() => readInferBody(bad, ADDRESS)).toThrow("not valid UTF-8");
  });

  it("bounds are of what the parser takes, not of the elements", () => {
    const bounds = { depth: 8, values: 40, members: 16 };
    const numbers = { name: "a", shape: [1000], datatype: "INT8", data: Array(1000).fill(1) };
    const bounded = (body: unknown) => readInferBody(Buffer.from(JSON.stringify(body)), ADDRESS, bounds);
    expect(bounded({ inputs: [numbers] }).request.rawInputContents[0]!.length).toBe(1000);
    expect(() => bounded({ inputs: [numbers], outputs: Array(50).fill({}) })).toThrow("has more than");
  });
});

/** A tensor as a caller has it, its raw bytes, and its list of JSON. */
function randomInput(chance: SeededChance, name: string) {
  const datatypes = Object.keys(DATATYPES) as Datatype[];
  const datatype = datatypes[pick(chance, datatypes.length)]!;
  const shape = Array.from({ length: pick(chance, 4) }, () => pick(chance, 4));
  const count = shape.reduce((product, length) => product * length, 1);
  const each = <Item>(item: () => Item) => Array.from({ length: count }, item);
  if (datatype === "BYTES") {
    const texts = each(() => 'aé"\\\n😀'.slice(0, pick(chance, 5)).toWellFormed());
    return {
      name,
      datatype,
      shape,
      raw: joinBytes(texts.map((text) => Buffer.from(text))),
      json: texts.map((text) => JSON.stringify(text)),
    };
  }
  const { bytes } = DATATYPES[datatype];
  const isFloat = datatype.startsWith("FP") || datatype === "BF16";
  const isSigned = isFloat || datatype.startsWith("INT");
  const wide = each(() => (isSigned ? BigInt.asIntN : BigInt.asUintN)(bytes * 8 - (isFloat ? 1 : 0), chance.id()));
  const numbers: Numbers =
    datatype === "BOOL"
      ? wide.map((one) => Number(one & 1n))
      : isFloat
        ? wide.map((one) => (Number(one) % 60_000) / (1 + pick(chance, 7)))
        : bytes === 8
          ? wide
          : wide.map(Number);
  const json = Array.from(numbers as ArrayLike<number>, (one) =>
    datatype === "BOOL" ? String(one === 1) : String(one),
  );
  return { name, datatype, shape, raw: createNumberTensor(name, datatype, { shape, numbers }).data, json };
}

type RandomInput = ReturnType<typeof randomInput>;

function nest(items: readonly string[], shape: readonly number[]): string {
  const [length = items.length, ...inner] = shape;
  if (shape.length < 2) return `[${items.join()}]`;
  const step = items.length / length || 0;
  return `[${Array.from({ length }, (_, at) => nest(items.slice(at * step, (at + 1) * step), inner)).join()}]`;
}

/** A body of these inputs, each of them in JSON or behind it, and the header that it needs. */
function randomBody(
  chance: SeededChance,
  inputs: readonly RandomInput[],
): { body: Buffer; headerLength: string | undefined } {
  const behind: Uint8Array[] = [];
  const said = inputs.map(({ name, datatype, shape, raw, json }) => {
    const head = `"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join()}]`;
    if (pick(chance, 2) === 0) {
      behind.push(raw);
      return `{${head},"parameters":{"binary_data_size":${raw.length}}}`;
    }
    return `{"data":${pick(chance, 2) === 0 ? `[${json.join(" , ")}]` : nest(json, shape)},${head}}`;
  });
  const json = Buffer.from(`{"inputs":[${said.join()}],"id":"é"}`);
  const isPlain = behind.length === 0 && pick(chance, 2) === 0;
  return { body: Buffer.concat([json, ...behind]), headerLength: isPlain ? undefined : String(json.length) };
}

describe("requests at random", () => {
  it("are read as the tensors that they were made of", () => {
    eachSeed(1500, (seed) => {
      const chance = new SeededChance(BigInt(seed));
      const inputs = Array.from({ length: 1 + pick(chance, 4) }, (_, at) => randomInput(chance, `INPUT${at}`));
      const { body, headerLength } = randomBody(chance, inputs);
      const { request } = readInferBody(body, { ...ADDRESS, headerLength });
      expect(request.inputs.map(({ datatype, shape }) => [datatype, shape.map(Number)])).toEqual(
        inputs.map(({ datatype, shape }) => [datatype, shape]),
      );
      for (const [at, { raw }] of inputs.entries()) {
        expect(printHex(request.rawInputContents[at]!), inputs[at]!.datatype).toBe(printHex(raw));
      }
    });
  });

  it("are read or refused with a reason, whatever happened to their bytes", () => {
    let refused = 0;
    let taken = 0;
    eachSeed(3000, (seed) => {
      const chance = new SeededChance(BigInt(seed));
      const { body, headerLength } = randomBody(chance, [randomInput(chance, "a"), randomInput(chance, "b")]);
      const changed = pick(chance, 3) === 0 ? body.subarray(0, pick(chance, body.length)) : Buffer.from(body);
      const marks = Buffer.from('[]{},:"\\ 0e-');
      for (let count = pick(chance, 4); count > 0; count--) {
        const byte = pick(chance, 2) === 0 ? pick(chance, 256) : marks[pick(chance, marks.length)]!;
        if (changed.length > 0) changed[pick(chance, changed.length)] = byte;
      }
      try {
        readInferBody(changed, { ...ADDRESS, headerLength }, { depth: 128, values: 10_000, members: 10_000 });
        taken++;
      } catch (error) {
        expect(error).toBeInstanceOf(StatorError);
        expect((error as StatorError).row.blame).toBe("caller");
        refused++;
      }
    });
    expect(refused).toBeGreaterThan(500);
    expect(taken).toBeGreaterThan(200);
  });
});
