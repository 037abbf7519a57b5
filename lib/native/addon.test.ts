import { describe, expect, it } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { completeBlocks, TokenHasher } from "#lib/tokens/block-hash";
import { loadNative, nativeErrorCode } from "./addon.ts";

const native = loadNative();

/** The formula of `uniformDraw`, written from its doc comment alone. */
function drawTwin(seed: bigint, choice: number, position: number, lane: number): number {
  const multiply = (a: number, b: number): [high: number, low: number] => {
    const product = BigInt(a) * BigInt(b);
    return [Number(product >> 32n), Number(product & 0xffffffffn)];
  };
  let counter: [number, number, number, number] = [position, choice, lane, 0];
  let key: [number, number] = [Number(seed & 0xffffffffn), Number(seed >> 32n)];
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, counter[0]);
    const [high1, low1] = multiply(0xcd9e8d57, counter[2]);
    counter = [(high1 ^ counter[1] ^ key[0]) >>> 0, low1, (high0 ^ counter[3] ^ key[1]) >>> 0, low0];
    key = [(key[0] + 0x9e3779b9) >>> 0, (key[1] + 0xbb67ae85) >>> 0];
  }
  return ((counter[0] >>> 5) * 2 ** 26 + (counter[1] >>> 6)) / 2 ** 53;
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return "no error";
  } catch (error) {
    return nativeErrorCode(error);
  }
}

describe("loading the addon", () => {
  it("says what to do when the file is absent or no addon", () => {
    const absent = loadNative("/nowhere/stator.node");
    expect(absent).toMatchObject({ unavailable: "The native addon has not been built.", fix: "npm run build:native" });
    const foreign = loadNative(import.meta.filename);
    expect(foreign.addon).toBeUndefined();
    expect(foreign.unavailable).toMatch(/^The native addon .*\.$/);
  });
});

describe.skipIf(native.addon === undefined)(`the addon's arithmetic (${native.unavailable ?? "built"})`, () => {
  const addon = native.addon!;

  it("hashes blocks like the reference vectors", () => {
    const hash = (count: number, block: number, seed: bigint) => {
      const tokens = Uint32Array.from({ length: count }, (_, i) => i + 1);
      const local = new BigUint64Array(Math.floor(count / block));
      const sequence = new BigUint64Array(local.length);
      expect(addon.hashBlocks(tokens, block, seed, local, sequence)).toBe(local.length);
      return { local: [...local].map((each) => each.toString(16)), sequence: [...sequence].map((e) => e.toString(16)) };
    };
    expect(hash(16, 4, 1337n)).toEqual({
      local: ["cb38e4d7fb2dca5c", "e8d3ec39b907b74c", "6b748f1777d599c", "1e03482f18b34e9"],
      sequence: ["cb38e4d7fb2dca5c", "44a2b2379d6d3c3d", "aea1e67a6c80cf84", "1aaa5eb6e2524a3b"],
    });
    expect(hash(67, 16, 1337n).sequence).toEqual([
      "ea06fc71a5ee6e88",
      "ad01835a37dd294c",
      "d55e56c2bccbd1a",
      "445502a8048d6688",
    ]);
    const seed = 1337n + addon.xxh3(Buffer.from("my-lora"), 0n);
    expect(seed.toString(16)).toBe("b2041cc45cbcfedd");
    expect(hash(16, 4, seed).local.slice(0, 2)).toEqual(["d97c824a0d4bdab1", "6de6cbec6a335efe"]);
    expect((1337n + addon.xxh3(Buffer.from("tenant-a"), 1n)).toString(16)).toBe("1b095b6229544fb6");
  });

  it("hashes contents like the TypeScript twin, with objects and a look ahead", () => {
    const twin = new TokenHasher();
    const chance = new SeededChance(7n);
    for (let round = 0; round < 200; round++) {
      const [blockTokens, ahead] = [1 + pick(chance, 80), pick(chance, 2)];
      const tokens = Uint32Array.from({ length: pick(chance, 2000) }, () => pick(chance, 2 ** 32));
      const blocks = completeBlocks(tokens.length, blockTokens, ahead);
      const to = pick(chance, blocks + 1);
      const from = pick(chance, to + 1);
      const named = Uint32Array.from({ length: pick(chance, 6) }, () => pick(chance, blocks + 2)).sort();
      const objects = { blocks: named, hashes: BigUint64Array.from(named, () => chance.id()) };
      const [own, other] = [new BigUint64Array(blocks), new BigUint64Array(blocks)];
      const seed = chance.id();
      addon.hashContents(tokens, blockTokens, ahead, seed, from, to, own, round % 2 ? objects : undefined);
      twin.hashContents(tokens, blockTokens, ahead, seed, from, to, other, round % 2 ? objects : undefined);
      expect(own).toEqual(other);
    }
  });

  it("draws as documented", () => {
    const golden: [bigint, number, number, number][] = [
      [0n, 0, 0, 0.39904647231489565],
      [1337n, 0, 1, 0.8200935792323353],
      [0xffffffffffffffffn, 3, 4095, 0.35301017074181296],
    ];
    for (const [seed, choice, position, draw] of golden) expect(addon.uniformDraw(seed, choice, position)).toBe(draw);
    for (let i = 0; i < 200; i++) {
      const seed = (BigInt(i) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn;
      expect(addon.uniformDraw(seed, i % 5, i * 7, i % 2)).toBe(drawTwin(seed, i % 5, i * 7, i % 2));
    }
  });

  it("refuses other types and ranges", () => {
    const u64 = new BigUint64Array(4);
    const cases: (() => unknown)[] = [
      () => addon.xxh3("text" as never, 0n),
      () => addon.xxh3(new Uint8Array(1), -1n),
      () => addon.xxh3(new Uint8Array(1), 1n << 64n),
      () => addon.hashBlocks(new Uint32Array(8), 0, 0n, u64, u64),
      () => addon.hashBlocks(new Uint32Array(8), 1, 0n, u64, u64),
      () => addon.hashBlocks(new Int32Array(8) as never, 4, 0n, u64, u64),
      () => addon.hashContents(new Uint32Array(8), 4, 2, 0n, 0, 1, u64),
      () => addon.hashContents(new Uint32Array(8), 4, 0, 0n, 0, 3, u64),
      () => addon.hashContents(new Uint32Array(8), 4, 1, 0n, 0, 2, u64),
      () => addon.hashContents(new Uint32Array(8), 4, 0, 0n, 2, 1, u64),
      () => addon.hashContents(new Uint32Array(8), 1, 0, 0n, 0, 8, u64),
      () => addon.hashContents(new Uint32Array(8), 4, 0, 0n, 0, 1, u64, { blocks: Uint32Array.of(1), hashes: u64 }),
      () =>
        addon.hashContents(new Uint32Array(8), 4, 0, 0n, 0, 1, u64, {
          blocks: Uint32Array.of(3, 2, 1, 0),
          hashes: u64,
        }),
      () => addon.uniformDraw(0n, -1, 0),
      () => addon.uniformDraw(0n, 0, 0.5),
      () => addon.uniformDraw(0n, 0, 0, 2),
      () => addon.openLlama({} as never),
    ];
    for (const each of cases) expect(codeOf(each)).toBe("INVALID_ARGUMENT");
  });
});
