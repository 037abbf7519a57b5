import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { TransferScopeSchema } from "#gen/stator/common/v1/common_pb";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../test/support/seeds.ts";
import { convertBlocks } from "./convert.ts";
import { BLOCK_ORDERS, blockBytes, convertible, type KvLayout, layoutDifference } from "./layout.ts";
import { parseLayout, printLayout } from "./transfer-scope.ts";

const LAYOUT: KvLayout = {
  layers: 3,
  blockTokens: 4,
  keyRowBytes: 2,
  valueRowBytes: 3,
  elementType: "f16",
  engineFormat: "llama.cpp-0.5.0",
  order: "layer-kind",
};

/** Blocks whose every byte names its layer, kind, token and place in the row, made one row at a time. */
function naiveBlocks(layout: KvLayout, tokens: number): Uint8Array[] {
  const { layers, blockTokens, keyRowBytes, valueRowBytes, order } = layout;
  const pairs: [layer: number, kind: number][] = [];
  for (let layer = 0; layer < layers; layer++) pairs.push([layer, 0], [layer, 1]);
  if (order === "kind-layer") pairs.sort(([, left], [, right]) => left - right);
  return Array.from({ length: tokens / blockTokens }, (_, block) => {
    const bytes: number[] = [];
    for (const [layer, kind] of pairs) {
      for (let token = 0; token < blockTokens; token++) {
        for (let at = 0; at < (kind === 0 ? keyRowBytes : valueRowBytes); at++) {
          bytes.push((layer * 89 + kind * 41 + (block * blockTokens + token) * 7 + at) & 0xff);
        }
      }
    }
    return Uint8Array.from(bytes);
  });
}

test("blocks of any order and size become those of any other, byte for byte", () => {
  eachSeed(60, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const shape = { layers: 1 + pick(chance, 4), keyRowBytes: pick(chance, 6), valueRowBytes: 1 + pick(chance, 6) };
    const short = 1 + pick(chance, 5);
    const long = short * (1 + pick(chance, 4));
    const sizes = pick(chance, 2) === 0 ? [short, long] : [long, short];
    const [from, to] = sizes.map((blockTokens) => ({
      ...LAYOUT,
      ...shape,
      blockTokens,
      order: BLOCK_ORDERS[pick(chance, 2)]!,
    })) as [KvLayout, KvLayout];
    const tokens = long * (1 + pick(chance, 3));
    const payloads = Array.from({ length: tokens / to.blockTokens }, () => new Uint8Array(blockBytes(to)));
    expect(convertible(from, to)).toBeUndefined();
    convertBlocks({ layout: from, payloads: naiveBlocks(from, tokens) }, { layout: to, payloads });
    expect(payloads).toEqual(naiveBlocks(to, tokens));
  });
});

test("what cannot be converted is named by its field", () => {
  expect(convertible(LAYOUT, { ...LAYOUT, blockTokens: 6 })).toBe("blockTokens");
  const others = { layers: 4, keyRowBytes: 1, valueRowBytes: 2, elementType: "q8_0", engineFormat: "mock-1" };
  for (const [field, value] of Object.entries(others)) {
    const other = { ...LAYOUT, order: "kind-layer", blockTokens: 8, [field]: value } as KvLayout;
    expect([convertible(LAYOUT, other), convertible(other, LAYOUT), layoutDifference(LAYOUT, other)]).toEqual(
      Array(3).fill(field),
    );
  }
  expect(layoutDifference(LAYOUT, { ...LAYOUT, order: "kind-layer" })).toBe("order");
  expect(layoutDifference(LAYOUT, { ...LAYOUT })).toBeUndefined();
  const run = { layout: LAYOUT, payloads: naiveBlocks(LAYOUT, 8) };
  expect(() => convertBlocks(run, { ...run, layout: { ...LAYOUT, layers: 4 } })).toThrow("rows are alike");
  expect(() => convertBlocks(run, { ...run, payloads: run.payloads.slice(1) })).toThrow("as many tokens");
  expect(() => convertBlocks(run, { ...run, payloads: [new Uint8Array(1), new Uint8Array(1)] })).toThrow("the bytes");
});

test("a layout is told and read, by an older build without its size and order too", () => {
  for (const order of BLOCK_ORDERS) {
    const layout = { ...LAYOUT, order };
    expect(parseLayout(create(TransferScopeSchema, printLayout(layout)), 99)).toEqual(layout);
  }
  const { blockTokens: _, order: __, ...older } = LAYOUT;
  expect(parseLayout(create(TransferScopeSchema, older), 4)).toEqual(LAYOUT);
  expect(parseLayout(create(TransferScopeSchema, { ...older, order: 9 as never }), 4)).toBeUndefined();
});
