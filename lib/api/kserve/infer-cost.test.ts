import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { StatorError } from "#lib/base/errors";
import { checkInferCost } from "./infer-cost.ts";

const bytesOf = (init: MessageInitShape<typeof ModelInferRequestSchema>) =>
  toBinary(ModelInferRequestSchema, create(ModelInferRequestSchema, init));
const MOST = { fields: 20, numbers: 30 };

function refusal(bytes: Uint8Array): string {
  try {
    checkInferCost(bytes, MOST);
  } catch (error) {
    return error instanceof StatorError ? `${error.reason} ${error.message}` : "no StatorError";
  }
  return "taken";
}

const FIELDS = /^INVALID_ARGUMENT .* at most 20 fields/;
const NUMBERS = /^INVALID_ARGUMENT .* at most 30 typed numbers/;
const MALFORMED = /^INVALID_ARGUMENT The bytes are not an inference.ModelInferRequest/;
const parameter = { parameterChoice: { case: "int64Param" as const, value: 1n } };

describe("the cost of a request", () => {
  it("is bounded by its fields, however deep they are", () => {
    const many = <Item>(count: number, item: Item): Item[] => new Array<Item>(count).fill(item);
    expect(refusal(bytesOf({ inputs: many(20, {}) }))).toBe("taken");
    expect(refusal(bytesOf({ inputs: many(21, {}) }))).toMatch(FIELDS);
    expect(refusal(bytesOf({ outputs: many(21, {}) }))).toMatch(FIELDS);
    expect(refusal(bytesOf({ rawInputContents: many(21, new Uint8Array(0)) }))).toMatch(FIELDS);
    const bytesContents = many(18, new Uint8Array(1));
    expect(refusal(bytesOf({ inputs: [{ contents: { bytesContents } }] }))).toBe("taken");
    expect(refusal(bytesOf({ id: "1", inputs: [{ contents: { bytesContents } }] }))).toMatch(FIELDS);
    const named = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`p${at}`, parameter]));
    // An entry is a field with two in it, and its value has one.
    expect(refusal(bytesOf({ parameters: named(5) }))).toBe("taken");
    expect(refusal(bytesOf({ parameters: named(6) }))).toMatch(FIELDS);
    expect(refusal(bytesOf({ inputs: [{ parameters: named(5) }] }))).toMatch(FIELDS);
    expect(refusal(bytesOf({ outputs: [{ parameters: named(5) }] }))).toMatch(FIELDS);
  });

  it("is bounded by its numbers together, packed or not", () => {
    const ones = (count: number) => new Array<bigint>(count).fill(1n);
    expect(refusal(bytesOf({ inputs: [{ shape: ones(30) }] }))).toBe("taken");
    expect(refusal(bytesOf({ inputs: [{ shape: ones(31) }] }))).toMatch(NUMBERS);
    expect(refusal(bytesOf({ inputs: [{ shape: ones(20), contents: { int64Contents: ones(11) } }] }))).toMatch(NUMBERS);
    expect(refusal(bytesOf({ inputs: [{ contents: { boolContents: new Array<boolean>(31).fill(true) } }] }))).toMatch(
      NUMBERS,
    );
    expect(refusal(bytesOf({ inputs: [{ shape: new Array<bigint>(30).fill(1n << 40n) }] }))).toBe("taken");
    const halves = (count: number) => new Array<number>(count).fill(0.5);
    for (const field of ["fp32Contents", "fp64Contents"] as const) {
      expect(refusal(bytesOf({ inputs: [{ contents: { [field]: halves(30) } }] })), field).toBe("taken");
      expect(refusal(bytesOf({ inputs: [{ contents: { [field]: halves(31) } }] })), field).toMatch(NUMBERS);
    }
    const unpacked = Buffer.from(`2a2c2a2a${"1001".repeat(21)}`, "hex");
    expect(refusal(unpacked)).toMatch(FIELDS);
  });

  it("does not count what raw contents and texts have in them", () => {
    const bytes = bytesOf({ modelName: "m".repeat(5000), rawInputContents: [new Uint8Array(100_000).fill(0x2a)] });
    expect(refusal(bytes)).toBe("taken");
  });

  it("is that of no request where lengths reach beyond what they are in, or a group begins", () => {
    for (const hex of ["2a05", "2a022a05", "2b", "2c", "2a", "0aff", "ff"]) {
      expect(refusal(Buffer.from(hex, "hex")), hex).toMatch(MALFORMED);
    }
  });
});
