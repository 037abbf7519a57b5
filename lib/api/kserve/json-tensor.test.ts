import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { eachSeed } from "../../../test/support/seeds.ts";
import type { Datatype } from "./datatypes.ts";
import { readJsonTensor } from "./json-tensor.ts";
import { numbersOf } from "./numbers.ts";
import { bytesElements } from "./tensor.ts";

const read = (json: string, datatype: Datatype, shape: readonly number[]) => {
  const data = readJsonTensor(Buffer.from(json), { field: "inputs[0].data", datatype, shape });
  if (datatype === "BYTES") return bytesElements({ data }).map((text) => Buffer.from(text).toString());
  return Array.from(numbersOf({ datatype, data }) as ArrayLike<number>);
};

describe("data of every datatype", () => {
  it.each<[Datatype, string, readonly unknown[]]>([
    ["BOOL", "[true, false,true]", [1, 0, 1]],
    ["INT8", "[-128,127,0]", [-128, 127, 0]],
    ["INT16", "[-32768,32767,-0]", [-32768, 32767, 0]],
    ["INT32", "[-2147483648,2147483647,1e3]", [-2147483648, 2147483647, 1000]],
    [
      "INT64",
      "[-9223372036854775808,9223372036854775807,9007199254740993]",
      [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 53n + 1n],
    ],
    ["UINT8", "[0,255,1.0]", [0, 255, 1]],
    ["UINT16", "[0,65535,7]", [0, 65535, 7]],
    ["UINT32", "[0,4294967295,7]", [0, 4294967295, 7]],
    ["UINT64", "[0,18446744073709551615,7]", [0n, 2n ** 64n - 1n, 7n]],
    ["FP16", "[0.5,-65504,6e-8]", [0.5, -65504, 2 ** -24]],
    ["BF16", "[0.5,-1.5,3.3895313892515355e38]", [0.5, -1.5, 3.3895313892515355e38]],
    ["FP32", "[0.1,-1e-45,3.4028234663852886e+38]", [Math.fround(0.1), -(2 ** -149), 3.4028234663852886e38]],
    ["FP64", "[0.1,-1.7976931348623157E308,1e-999]", [0.1, -1.7976931348623157e308, 0]],
    ["BYTES", '["", "é\\u00e9\\n" ,"\\ud83d\\ude00"]', ["", "éé\n", "😀"]],
  ])("%s", (datatype, json, elements) => {
    expect(read(json, datatype, [3])).toEqual(elements);
    expect(() => read(json, datatype, [2])).toThrow("inputs[0].data: has 3 elements; the shape says 2");
    expect(() => read(json, datatype, [4])).toThrow(StatorError);
  });

  it("is flat or nested as the shape, with space anywhere", () => {
    const numbers = [1, 2, 3, 4, 5, 6];
    for (const json of ["[1,2,3,4,5,6]", " [ [ 1 , 2 ,3],\n[4,5,6]\t] ".trim(), "[[1,2,3],[4,5,6]]"]) {
      expect(read(json, "INT32", [2, 3])).toEqual(numbers);
    }
    expect(read("[[[1],[2]],[[3],[4]]]", "INT32", [2, 2, 1])).toEqual([1, 2, 3, 4]);
    expect(read("[5]", "INT32", [])).toEqual([5]);
    for (const json of ["[]", "[[],[]]", "[[]]"]) expect(read(json, "INT32", [2, 0])).toEqual([]);
    expect(read("[]", "BYTES", [0])).toEqual([]);
  });
});

describe("what is wrong is told by its place, and nothing of it is quoted", () => {
  it.each<[string, Datatype, readonly number[], string]>([
    ["[1,128]", "INT8", [2], "item 1 must be a whole number from -128 to 127"],
    ["[1,2.5]", "INT32", [2], "item 1 must be a whole number"],
    ["[-1]", "UINT64", [1], "a whole number of 64 bits, written in digits"],
    ["[18446744073709551616]", "UINT64", [1], "item 0"],
    ["[9223372036854775808]", "INT64", [1], "with its sign"],
    ["[9007199254740993.0]", "INT64", [1], "item 0"],
    ["[1e39]", "FP32", [1], "a number that FP32 can hold"],
    ["[65520]", "FP16", [1], "FP16"],
    ["[1e400]", "FP64", [1], "FP64"],
    ["[01]", "FP64", [1], "item 0"],
    ["[1.]", "FP64", [1], "item 0"],
    ["[1e]", "FP64", [1], "item 0"],
    ["[-]", "FP64", [1], "item 0"],
    ["[NaN]", "FP64", [1], "item 0"],
    ["[null]", "INT8", [1], "item 0"],
    ["[1]", "BOOL", [1], "true or false"],
    ["[truE]", "BOOL", [1], "true or false"],
    ["[1,1]", "BYTES", [1], "item 0 must be text"],
    ['["\\ud83d"]', "BYTES", [1], "item 0 must be text"],
    ['["\\x"]', "BYTES", [1], "item 0 must be text"],
    ['["a\nb"]', "BYTES", [1], "item 0 must be text"],
    ['["ab]  ', "BYTES", [1], "item 0 must be text"],
    ["[1 2]", "INT8", [1], "no comma or bracket behind item 0"],
    ["[1,]", "INT8", [1], "item 1"],
    ["[1]]", "INT8", [1], "goes on behind its last bracket"],
    ["[1", "INT8", [1], "no comma or bracket"],
    ["[[1]]", "INT8", [1], "nested deeper than its shape"],
    ["[[1,2],[3]]", "INT8", [2, 2], "not nested as its shape: a list has 1 items"],
    ["[[1,2,3]]", "INT8", [3, 1], "not nested as its shape"],
    ["[[1,2],3]", "INT8", [3, 1], "not nested as its shape"],
    ["[1,[2]]", "INT8", [2, 1], "lists beside elements"],
    ["[[],1,1]", "INT8", [1, 2], "not nested as its shape: a list has 0 items"],
    ["[[1,2,3,4]]", "INT8", [1, 2, 2], "not nested as its shape"],
  ])("%s as %s", (json, datatype, shape, sentence) => {
    expect(() => read(json, datatype, shape)).toThrow(sentence);
    expect(() => read(json, datatype, shape)).toThrow(StatorError);
  });

  it("a shape that says more than the text can hold allocates nothing", () => {
    const shapes = [
      [2 ** 31],
      [2 ** 40, 2 ** 40],
      [Number.MAX_SAFE_INTEGER, 2],
      Array(32).fill(2 ** 50),
      [...Array(32).fill(2 ** 50), 0],
    ];
    for (const shape of shapes) {
      expect(() => read("[1,2]", "FP64", shape)).toThrow("has fewer elements than its shape says");
    }
  });
});

it("numbers are what JSON.parse reads, whatever they look like", () => {
  const digits = "0123456789-+.eE, ";
  eachSeed(4000, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    let text = "";
    for (let count = 1 + pick(chance, 7); count > 0; count--) text += digits[pick(chance, digits.length)]!;
    let parsed: unknown;
    try {
      parsed = JSON.parse(`[${text}]`);
    } catch {
      parsed = undefined;
    }
    const list = Array.isArray(parsed) && parsed.every((value) => Number.isFinite(value)) ? parsed : undefined;
    let got: unknown;
    try {
      got = read(`[${text}]`, "FP64", [list?.length ?? 1]);
    } catch (error) {
      expect(error).toBeInstanceOf(StatorError);
    }
    expect(got).toEqual(list);
  });
});
