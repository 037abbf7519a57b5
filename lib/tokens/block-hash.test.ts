import { expect, test } from "vitest";
import { type BlockObjects, completeBlocks, HASH_SCHEME, hashSeed, TokenHasher } from "./block-hash.ts";

const hex = (hash: bigint) => hash.toString(16).padStart(16, "0");
const counted = (count: number) => Uint32Array.from({ length: count }, (_, at) => at + 1);

function hashes(tokens: Uint32Array, blockTokens: number, seed = hashSeed("", undefined)) {
  const local = new BigUint64Array(Math.floor(tokens.length / blockTokens));
  const sequence = new BigUint64Array(local.length);
  expect(new TokenHasher().hashBlocks(tokens, blockTokens, seed, local, sequence)).toBe(local.length);
  return { local: [...local].map(hex), sequence: [...sequence].map(hex) };
}

test("the golden vectors of the scheme hold", () => {
  expect(HASH_SCHEME).toBe("xxh3-1337-v1");
  expect(hashes(counted(16), 4)).toEqual({
    local: ["cb38e4d7fb2dca5c", "e8d3ec39b907b74c", "06b748f1777d599c", "01e03482f18b34e9"],
    sequence: ["cb38e4d7fb2dca5c", "44a2b2379d6d3c3d", "aea1e67a6c80cf84", "1aaa5eb6e2524a3b"],
  });
  expect(hashes(counted(64), 16)).toMatchObject({
    sequence: ["ea06fc71a5ee6e88", "ad01835a37dd294c", "0d55e56c2bccbd1a", "445502a8048d6688"],
  });
});

test("salt and adapter enter the seed", () => {
  expect(hex(hashSeed("", "my-lora"))).toBe("b2041cc45cbcfedd");
  expect(hex(hashSeed("tenant-a", undefined))).toBe("1b095b6229544fb6");
  expect(hex(hashSeed("tenant-a", "my-lora"))).toBe("cd0d78268611495a");
  expect(hashSeed("", "")).toBe(1337n);
  const own = hashes(counted(16), 4, hashSeed("", "my-lora")).local;
  expect(own.slice(0, 2)).toEqual(["d97c824a0d4bdab1", "6de6cbec6a335efe"]);
  const salted = hashes(counted(16), 4, hashSeed("tenant-a", undefined)).local;
  expect(salted.slice(0, 2)).toEqual(["4fa3e8097233e995", "9b7651d1fc728ccb"]);
});

test("an incomplete block has no hash", () => {
  expect(hashes(counted(15), 16).local).toEqual([]);
  expect(hashes(counted(31), 16).local).toHaveLength(1);
});

test("objects in a block follow its ids in ascending order, and a hash may look one token ahead", () => {
  const of = (tokens: Uint32Array, ahead: number, objects?: BlockObjects) => {
    const local = new BigUint64Array(completeBlocks(tokens.length, 4, ahead));
    new TokenHasher().hashContents(tokens, 4, ahead, 1337n, 0, local.length, local, objects);
    return [...local].map(hex);
  };
  const plain = of(counted(16), 0);
  expect(plain).toEqual(hashes(counted(16), 4).local);
  const one = { blocks: Uint32Array.of(1), hashes: BigUint64Array.of(0xdead_beef_cafen) };
  expect(of(counted(16), 0, one)).toEqual([plain[0], "dc500a7a4e3c6bd4", plain[2], plain[3]]);
  expect(of(counted(16), 1)).toEqual(["1a92ffa9004c0851", "1ac55a72d61806e3", "7173bc24eaf6c994"]);
  const ascending = of(counted(16), 0, { blocks: Uint32Array.of(2, 2), hashes: BigUint64Array.of(2n, 2n ** 63n) });
  const descending = of(counted(16), 0, { blocks: Uint32Array.of(2, 2), hashes: BigUint64Array.of(2n ** 63n, 2n) });
  expect(descending).toEqual(ascending);
  expect(ascending[2]).not.toBe(plain[2]);
});

test("blocks are complete when all that their hash needs is there", () => {
  expect([0, 15, 16, 17, 32].map((tokens) => completeBlocks(tokens, 16))).toEqual([0, 0, 1, 1, 2]);
  expect([0, 16, 17, 32, 33].map((tokens) => completeBlocks(tokens, 16, 1))).toEqual([0, 0, 1, 1, 2]);
});
