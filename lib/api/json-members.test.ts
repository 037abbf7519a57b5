import { expect, test } from "vitest";
import { type Chance, pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../test/support/seeds.ts";
import { jsonMembers, jsonText } from "./json-members.ts";

function members(text: string): [string, string][] {
  return [...jsonMembers(Buffer.from(text))].map(([name, value]) => [name, jsonText(value).trim()]);
}

test("values are told as they are written", () => {
  expect(members('{"a": 1.0, "b":[1,{"a":2}] ,"c" : {"a": "}"}, "d":"x,\\"y" }')).toEqual([
    ["a", "1.0"],
    ["b", '[1,{"a":2}]'],
    ["c", '{"a": "}"}'],
    ["d", '"x,\\"y"'],
  ]);
  expect(members("{}")).toEqual([]);
});

test("a name is what it means, and the last one counts", () => {
  expect(members('{"\\u0061": 1, "é😀": 2, "a": 3, "\\\\": 4, "": 5, "__proto__": 6}')).toEqual([
    ["a", "3"],
    ["é😀", "2"],
    ["\\", "4"],
    ["", "5"],
    ["__proto__", "6"],
  ]);
});

test("what is no object has no members", () => {
  for (const text of ["1", '"a:1"', "[]", '[{"a": 1}]', "null"]) expect(members(text)).toEqual([]);
});

test("agrees with JSON.parse", () => {
  eachSeed(2000, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const text = objectText(chance, 4);
    const read = Object.fromEntries(members(text).map(([name, value]) => [name, JSON.parse(value) as unknown]));
    expect(read).toEqual(JSON.parse(text));
  });
});

const TEXTS = ['"a"', '"b"', '"{"', '"]:,"', '"\\""', '"\\\\"', '"\\\\\\",\\"a\\":"', '"\\u0061"', '"ä😀"'];
// None ends in a backslash: JSON.parse of V8 13.6 takes a later `"\\""` for that name.
const NAMES = TEXTS.filter((text) => !text.endsWith('\\\\"'));
const SPACES = ["", "", " ", "\n\t"];

function valueText(chance: Chance, depth: number): string {
  const kind = pick(chance, depth > 0 ? 5 : 3);
  if (kind === 0) return ["1.0", "-2e3", "null", "false"][pick(chance, 4)]!;
  if (kind < 3) return TEXTS[pick(chance, TEXTS.length)]!;
  return kind === 3 ? objectText(chance, depth - 1) : `[${several(chance, () => valueText(chance, depth - 1))}]`;
}

function objectText(chance: Chance, depth: number): string {
  const space = (): string => SPACES[pick(chance, SPACES.length)]!;
  const name = (): string => space() + NAMES[pick(chance, NAMES.length)]! + space();
  return `{${several(chance, () => `${name()}:${space()}${valueText(chance, depth)}${space()}`)}}`;
}

function several(chance: Chance, one: () => string): string {
  return Array.from({ length: pick(chance, 4) }, one).join(",");
}
