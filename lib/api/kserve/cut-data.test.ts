import { expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../../test/support/seeds.ts";
import { cutData } from "./cut-data.ts";

const cut = (json: string) => {
  const { rest, data } = cutData(Buffer.from(json));
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();
  return { rest: text(Buffer.concat(rest)), data: [...data].map(([at, list]) => [at, text(list)]) };
};

it("lists of data go, wherever they stand among the members, and what is left is the body without them", () => {
  expect(cut('{"inputs":[{"name":"a","data":[1,[2]],"shape":[1]},{"data" : ["]",\n"\\"["] }],"id":"x"}')).toEqual({
    rest: '{"inputs":[{"name":"a","data":[],"shape":[1]},{"data" : [] }],"id":"x"}',
    data: [
      [0, "[1,[2]]"],
      [1, '["]",\n"\\"["]'],
    ],
  });
});

it.each([
  ["data elsewhere", '{"data":[1],"outputs":[{"data":[1]}],"parameters":{"inputs":[{"data":[1]}]}}'],
  ["data that is no list", '{"inputs":[{"data":{"data":[1]}},{"data":"[1]"}]}'],
  ["a value that is spelled like a name", '{"inputs":[{"name":"data","shape":[1]}]}'],
  ["nothing", ""],
  ["brackets alone", "]]]}}}[[{"],
])("%s stays", (_, json) => {
  expect(cut(json)).toEqual({ rest: json, data: [] });
});

it("a list that does not end is cut too, and what is left does not end either", () => {
  expect(cut('{"inputs":[{"data":[1}}')).toEqual({ rest: '{"inputs":[{"data":[]', data: [] });
});

it("the last of each name counts, however it is written", () => {
  expect(cut('{"inputs":[{"data":[1]},{"d\\u0061ta":[2]}],"\\u0069nputs":[{"data":[3],"data":[4]}]}').data).toEqual([
    [0, "[4]"],
  ]);
});

/** JSON in which every name that counts stands everywhere, some of them twice. */
function randomJson(chance: SeededChance, depth: number): string {
  const names = ['"inputs"', '"data"', '"d\\u0061ta"', '"x"'];
  const space = () => " \n".slice(0, pick(chance, 3));
  const some = (item: () => string) => Array.from({ length: pick(chance, 4) }, item).join(`${space()},`);
  const value = () => space() + randomJson(chance, depth - 1) + space();
  const kind = depth === 0 ? 2 + pick(chance, 2) : pick(chance, 4);
  if (kind === 0) return `{${some(() => `${names[pick(chance, names.length)]}${space()}:${value()}`)}}`;
  if (kind === 1) return `[${some(value)}]`;
  return kind === 2 ? String(pick(chance, 9)) : ['"data"', '"]"', '"\\"["', "null"][pick(chance, 4)]!;
}

it("what is cut and what is left are the body again", () => {
  let lists = 0;
  eachSeed(4000, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const json = `{"inputs":[${randomJson(chance, 4)},{"data":${randomJson(chance, 3)}}],"x":${randomJson(chance, 4)}}`;
    const { rest, data } = cut(json);
    const left = JSON.parse(rest) as { inputs?: { data?: unknown }[] };
    for (const [at, list] of data as [number, string][]) {
      const input = left.inputs?.[at];
      // A name that comes again later, with another value, is the one that counts.
      if (!Array.isArray(input?.data)) continue;
      lists++;
      input.data = JSON.parse(list);
    }
    expect(left).toEqual(JSON.parse(json));
  });
  expect(lists).toBeGreaterThan(1000);
});
