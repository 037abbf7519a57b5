import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { KvBlockHashSchema, KvEventSchema, StorageMedium } from "#gen/openengine/v1/kv_pb";
import { viewBytes } from "#lib/base/bytes";
import { hashSeed, TokenHasher } from "#lib/tokens/block-hash";
import { TokenChain } from "#lib/tokens/token-chain";
import type { KvNotice } from "../engine.ts";
import { KvNames } from "./kv-names.ts";
import { Salts } from "./salts.ts";

type Event = NonNullable<MessageInitShape<typeof KvEventSchema>["event"]>;
type Stored = Extract<Event, { case: "blockStored" }>["value"];

const TOKENS = Array.from({ length: 6 }, (_, at) => at + 1);

/** A name of the engine's own, beyond 2^53. */
function named(block: number) {
  const value = viewBytes(BigUint64Array.of(2n ** 60n + BigInt(block)));
  return create(KvBlockHashSchema, { value, encoding: "int64" });
}

function stored(blocks: readonly number[], more: Stored = {}): Event {
  const tokenIds = blocks.flatMap((block) => TOKENS.slice(block * 2, block * 2 + 2));
  const parent = blocks[0] === 0 ? {} : { parentBlockHash: named(blocks[0]! - 1) };
  return { case: "blockStored", value: { blockHashes: blocks.map(named), tokenIds, blockSize: 2, ...parent, ...more } };
}

const removed = (...blocks: number[]): Event => ({ case: "blockRemoved", value: { blockHashes: blocks.map(named) } });

function reader(mostBlocks = 100, saltOf: (key: string) => string | undefined = (key) => key) {
  const names = new KvNames(2, mostBlocks, saltOf);
  return { names, read: (event: Event): KvNotice | undefined => names.read(create(KvEventSchema, { event })) };
}

function hashes(salt = "", adapter?: string): BigUint64Array {
  const seed = hashSeed(salt, adapter);
  return new TokenChain(new TokenHasher(), Uint32Array.from(TOKENS), { blockTokens: 2, seed }).hashes().slice();
}

it("blocks get the names that their tokens make, on from their parents, and lose them when they go", () => {
  const { read, names } = reader();
  const all = hashes();
  const whole = { kind: "stored", cacheSalt: "", adapter: undefined };
  expect(read(stored([0]))).toEqual({
    ...whole,
    ...{ parent: undefined, hashes: all.slice(0, 1), tokens: Uint32Array.of(1, 2) },
  });
  expect(read(stored([1, 2]))).toMatchObject({ ...whole, parent: all[0], hashes: all.slice(1) });
  expect(read(stored([1, 2]))).toBeUndefined();
  expect(read(removed(2, 77))).toEqual({ kind: "removed", hashes: all.slice(2) });
  // Of what is stored again what is new is told, behind what was there.
  expect(read(stored([0, 1, 2]))).toMatchObject({ parent: all[1], hashes: all.slice(2), tokens: Uint32Array.of(5, 6) });
  expect(names.size).toBe(3);
  expect(read({ case: "allBlocksCleared", value: {} })).toEqual({ kind: "cleared" });
  expect(read({ case: "allBlocksCleared", value: {} })).toBeUndefined();
});

it("adapters and salts are in the names; a salt whose key nobody knows leaves its blocks out, and those behind them", () => {
  expect(reader().read(stored([0], { loraName: "a" }))).toMatchObject({
    hashes: hashes("", "a").slice(0, 1),
    adapter: "a",
  });
  const foreign = reader();
  expect(foreign.read(stored([0], { extraKeys: [{ values: ["s"] }] }))).toMatchObject({
    hashes: hashes("s").slice(0, 1),
    cacheSalt: "s",
  });
  // Some engines put the salt into the name of the first block alone.
  expect(foreign.read(stored([1]))).toMatchObject({ cacheSalt: "s", hashes: hashes("s").slice(1, 2) });
  const salts = new Salts(true, 1);
  const ours = reader(100, (key) => salts.of(key));
  const key = { extraKeys: [{ values: ["unheard of"] }] };
  expect(ours.read(stored([0], key))).toBeUndefined();
  expect(ours.read(stored([1], key))).toBeUndefined();
  expect(reader().read(stored([0], { extraKeys: [{ values: ["a", "b"] }] }))).toBeUndefined();
});

it("a salt is known by its name as long as it is among those asked for last", () => {
  const salts = new Salts(true, 1);
  salts.note("one");
  const name = hashSeed("one", undefined) - 1337n;
  const key = BigInt.asUintN(64, name).toString(16).padStart(16, "0");
  expect(salts.of(key)).toBe("one");
  salts.note("two");
  expect(salts.of(key)).toBeUndefined();
  expect(new Salts(false).of("told")).toBe("told");
});

it("blocks elsewhere, of other layers or of another size are not ours", () => {
  const { read } = reader();
  expect(read(stored([0], { medium: StorageMedium.CPU_PINNED }))).toBeUndefined();
  expect(read(stored([0], { groupIdx: 1 }))).toBeUndefined();
  expect(read(stored([0], { blockSize: 1, blockHashes: [named(0), named(1)] }))).toBeUndefined();
  expect(read(stored([1]))).toBeUndefined();
});

it("what contradicts itself is the engine's fault, and more than may be known is a limit", () => {
  const { read } = reader(1);
  expect(() => read(stored([0], { tokenIds: [1] }))).toThrow("1 blocks of 2 tokens came with 1 tokens");
  expect(() => read(stored([0], { extraKeys: [{}, {}] }))).toThrow("1 blocks came with 2 keys");
  read(stored([0]));
  expect(() => read(stored([1]))).toThrow("limit of 1");
});
