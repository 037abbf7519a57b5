import { expect, test } from "vitest";
import { CHECKSUM_SEED } from "#lib/kv/checksum";
import { convertBlocks } from "#lib/kv/convert";
import { blockBytes, type KvLayout } from "#lib/kv/layout";
import { xxh3 } from "#lib/tokens/xxh3";
import { LAYOUT } from "../../../test/support/transfer-rig.ts";
import { BlockConverter } from "./block-converter.ts";
import { BlockIntake } from "./block-intake.ts";

const TOKENS = 48;

function openConverter(from: KvLayout, to: KvLayout, fromToken: number, room = 1000) {
  const written: Uint8Array[] = [];
  const write = async (payloads: readonly Uint8Array[]) => {
    written.push(...payloads.map((bytes) => bytes.slice()));
    return payloads.length;
  };
  const intake = new BlockIntake({ from: 0, write, close: () => 0 }, room);
  const converter = new BlockConverter({ from, to, fromToken, intake, hashBytes: xxh3 });
  return { converter, intake, written };
}

/** A sequence as blocks of one layout and of another. */
function blocksOf(from: KvLayout, to: KvLayout): { sources: Uint8Array[]; targets: Uint8Array[] } {
  const make = (layout: KvLayout) =>
    Array.from({ length: TOKENS / layout.blockTokens }, () => new Uint8Array(blockBytes(layout)));
  const sources = make(from);
  for (const [block, bytes] of sources.entries()) {
    for (let at = 0; at < bytes.length; at++) bytes[at] = block * 31 + at * 7;
  }
  const targets = make(to);
  convertBlocks({ layout: from, payloads: sources }, { layout: to, payloads: targets });
  return { sources, targets };
}

test.each([
  [4, 4, "layer-kind"],
  [4, 4, "kind-layer"],
  [4, 8, "layer-kind"],
  [8, 4, "kind-layer"],
  [16, 4, "layer-kind"],
] as const)("blocks of %d tokens become blocks of %d, from any of them on", async (fromTokens, toTokens, order) => {
  const from: KvLayout = { ...LAYOUT, blockTokens: fromTokens, order };
  const to: KvLayout = { ...LAYOUT, blockTokens: toTokens };
  const { sources, targets } = blocksOf(from, to);
  for (let first = 0; first < targets.length; first++) {
    const { converter, intake, written } = openConverter(from, to, first * toTokens);
    let done = 0;
    for (const bytes of sources.slice(converter.fromBlock)) {
      converter.add({ bytes, checksum: xxh3(bytes, CHECKSUM_SEED), done: () => void done++ });
    }
    await intake.settle();
    expect(written).toEqual(targets.slice(first));
    expect(done).toBe(sources.length - converter.fromBlock);
  }
});

test("a damaged block is not converted, and no more goes in than is wanted", async () => {
  const [from, to] = [LAYOUT, { ...LAYOUT, blockTokens: 8 }];
  const { sources, targets } = blocksOf(from, to);
  const { converter, intake, written } = openConverter(from, to, 0, 2);
  let done = 0;
  const add = (at: number, checksum?: bigint) =>
    converter.add({ bytes: sources[at]!, checksum, done: () => void done++ });
  for (const at of [0, 1, 2, 3, 4, 5, 6]) add(at);
  await intake.settle();
  expect(written).toEqual(targets.slice(0, 2));
  expect(done).toBe(7);
  const errors: string[] = [];
  intake.onError = (error) => void errors.push(error.reason);
  for (const at of [7, 8, 9]) add(at, 1n);
  await intake.settle();
  expect(errors).toEqual(["CORRUPT"]);
  expect(done).toBe(10);
  expect(written.length).toBe(2);
});
