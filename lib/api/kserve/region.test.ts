import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { type InferParameter, InferParameterSchema, ModelInferRequestSchema } from "#gen/inference/infer_pb";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { eachSeed } from "../../../test/support/seeds.ts";
import { namesRegions } from "./names-regions.ts";
import { SHARED_MEMORY } from "./parameters.ts";
import { printRegionPart, readRegionPart, withoutRegionPart } from "./region.ts";

type Choice = InferParameter["parameterChoice"];

const parameters = (choices: Record<string, Choice>): Record<string, InferParameter> =>
  Object.fromEntries(
    Object.entries(choices).map(([name, parameterChoice]) => [name, create(InferParameterSchema, { parameterChoice })]),
  );
const text = (value: string): Choice => ({ case: "stringParam", value });
const whole = (value: bigint): Choice => ({ case: "int64Param", value });
/** Whole numbers below a bound, the same for the same seed. */
function belowFrom(seed: number): (bound: number) => number {
  const chance = new SeededChance(BigInt(seed));
  return (bound) => Math.floor(chance.next() * bound);
}

const PART = { region: "input_data", offsetBytes: 64, lengthBytes: 128 };

test("a part is read as it was printed, also from unsigned numbers and without an offset", () => {
  expect(readRegionPart(printRegionPart(PART), "The input A")).toEqual(PART);
  const unsigned: Choice = { case: "uint64Param", value: 128n };
  const named = parameters({ shared_memory_region: text("r"), shared_memory_byte_size: unsigned });
  expect(readRegionPart(named, "A")).toEqual({ region: "r", offsetBytes: 0, lengthBytes: 128 });
  expect(readRegionPart(parameters({ binary_data_size: whole(4n) }), "A")).toBeUndefined();
});

test.each<[string, Record<string, Choice>, string]>([
  ["no length", { shared_memory_region: text("r") }, "The input A: shared_memory_byte_size: expected, since"],
  ["no region", { shared_memory_byte_size: whole(1n) }, "shared_memory_byte_size: means nothing without"],
  ["only an offset", { shared_memory_offset: whole(1n) }, "shared_memory_offset: means nothing without"],
  ["an empty name", { shared_memory_region: text("") }, "shared_memory_region: expected the name"],
  ["a number as a name", { shared_memory_region: whole(1n) }, "shared_memory_region: expected the name"],
  [
    "a negative length",
    { shared_memory_region: text("r"), shared_memory_byte_size: whole(-1n) },
    "shared_memory_byte_size: expected a number of bytes",
  ],
  [
    "a length beyond all numbers",
    { shared_memory_region: text("r"), shared_memory_byte_size: { case: "uint64Param", value: 2n ** 63n } },
    "shared_memory_byte_size: expected a number of bytes",
  ],
  [
    "a length as a text",
    { shared_memory_region: text("r"), shared_memory_byte_size: text("1") },
    "shared_memory_byte_size: expected a number of bytes",
  ],
  [
    "a negative offset",
    { shared_memory_region: text("r"), shared_memory_byte_size: whole(1n), shared_memory_offset: whole(-1n) },
    "shared_memory_offset: expected a number of bytes",
  ],
])("%s is refused", (_, choices, message) => {
  expect(() => readRegionPart(parameters(choices), "The input A")).toThrow(message);
});

test("what names a part is taken out of parameters, and the others stay", () => {
  const others = parameters({ binary_data: { case: "boolParam", value: true } });
  expect(withoutRegionPart(others)).toBe(others);
  expect(withoutRegionPart({ ...others, ...printRegionPart(PART) })).toEqual(others);
});

test("any values of these parameters give a part that reaches nowhere else, or the typed error", () => {
  const values = [-(2n ** 63n), -1n, 0n, 1n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n];
  eachSeed(2_000, (seed) => {
    const below = belowFrom(seed);
    const draw = (): Choice => {
      const value = values[below(values.length)] ?? 0n;
      const choices: Choice[] = [
        { case: undefined },
        text(["", "r", "__proto__"][below(3)] ?? ""),
        whole(value),
        { case: "uint64Param", value: BigInt.asUintN(64, value) },
        { case: "doubleParam", value: Number(value) },
        { case: "boolParam", value: true },
      ];
      return choices[below(choices.length)] ?? { case: undefined };
    };
    const names = [...Object.values(SHARED_MEMORY), "other"].filter(() => below(3) > 0);
    const given = parameters(Object.fromEntries(names.map((name) => [name, draw()])));
    try {
      const part = readRegionPart(given, "A");
      if (part) {
        expect(part.region).not.toBe("");
        expect(Number.isSafeInteger(part.offsetBytes) && part.offsetBytes >= 0).toBe(true);
        expect(Number.isSafeInteger(part.lengthBytes) && part.lengthBytes >= 0).toBe(true);
      } else expect(Object.keys(given).filter((name) => name !== "other")).toEqual([]);
    } catch (error) {
      if (!(error instanceof StatorError)) throw error;
      expect(error.reason).toBe("INVALID_ARGUMENT");
    }
  });
});

const request = (input: Record<string, InferParameter>, output: Record<string, InferParameter>) =>
  toBinary(
    ModelInferRequestSchema,
    create(ModelInferRequestSchema, {
      modelName: SHARED_MEMORY.region,
      parameters: parameters({ shared_memory_region: text("not of a tensor") }),
      inputs: [{ name: SHARED_MEMORY.region, datatype: "INT32", shape: [1n], parameters: input }],
      outputs: [{ name: "OUT", parameters: output }],
      rawInputContents: [new TextEncoder().encode(SHARED_MEMORY.region)],
    }),
  );

test("a message says whether a tensor of it names a region, in an input or an output", () => {
  const other = parameters({ shared_memory_regions: text("r") });
  expect(namesRegions(request(other, other))).toBe(false);
  expect(namesRegions(request(printRegionPart(PART), other))).toBe(true);
  expect(namesRegions(request(other, printRegionPart(PART)))).toBe(true);
});

test("bytes that are no message name no region, and one of too many fields is refused", () => {
  const bytes = request(printRegionPart(PART), {});
  const outcome = (changed: Uint8Array): unknown => {
    try {
      return namesRegions(changed);
    } catch (error) {
      return error instanceof StatorError ? error.reason : error;
    }
  };
  for (let end = 0; end < bytes.length; end++) expect([true, false]).toContain(outcome(bytes.subarray(0, end)));
  eachSeed(2_000, (seed) => {
    const below = belowFrom(seed);
    const changed = bytes.slice();
    for (let times = 0; times <= below(4); times++) changed[below(changed.length)] = below(256);
    expect([true, false, "INVALID_ARGUMENT"]).toContain(outcome(changed));
  });
  expect(() => namesRegions(Uint8Array.of(0x2b, 0x2c))).toThrow("The message has a group");
  expect(() => namesRegions(request({}, {}), 3)).toThrow("The message has more than 3 fields");
});
