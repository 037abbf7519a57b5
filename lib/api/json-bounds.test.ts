import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { findExcess, stringEnd } from "./json-bounds.ts";

const bounds = { depth: 3, values: 6, members: 3 };
const excess = (text: string) => findExcess(Buffer.from(text), bounds);

test("depth is that of the deepest place, in lists and objects alike", () => {
  expect(excess('[{"a":[]},[[]]]')).toBeUndefined();
  expect(excess('[{"a":[{}]}]')).toBe("is nested deeper than 3 levels");
  expect(excess("[[[[")).toBe("is nested deeper than 3 levels");
});

test("values are counted wherever they stand", () => {
  expect(excess("[0,0,0,0,0,0]")).toBeUndefined();
  expect(excess("[0,0,0,0,0,0,0]")).toBe("has more than 6 values");
  expect(excess('{"a":[],"b":[],"c":[]}')).toBeUndefined();
  expect(excess('{"a":[],"b":[],"c":[0,0]}')).toBe("has more than 6 values");
});

test("members are counted by themselves", () => {
  expect(excess('{"a":1,"b":{"c":1}}')).toBeUndefined();
  expect(excess('{"a":1,"b":{"c":1,"d":1}}')).toBe("has more than 3 members");
});

test("what stands in a string counts for nothing", () => {
  expect(excess('":::::[[[[,,,,,,,,"')).toBeUndefined();
  expect(excess('["\\"[[[[,,,,,,,,\\\\"]')).toBeUndefined();
  expect(excess('["\\\\",[[[[]]]]]')).toBe("is nested deeper than 3 levels");
  expect(excess('"never closed \\')).toBeUndefined();
});

test("a string ends at its closing quote, however long it is and whatever is escaped in it", () => {
  const chance = new SeededChance(4n);
  for (let round = 0; round < 2000; round++) {
    const characters = [...'ab\\"\n'].slice(0, 2 + pick(chance, 4));
    const length = pick(chance, 400);
    const text = Array.from({ length }, () => characters[pick(chance, characters.length)]).join("");
    const json = JSON.stringify(text);
    expect(stringEnd(Buffer.from(`${json},"more"`), 1)).toBe(json.length - 1);
    expect(stringEnd(new Uint8Array(Buffer.from(json.slice(0, -1))), 1)).toBe(json.length - 1);
  }
});
