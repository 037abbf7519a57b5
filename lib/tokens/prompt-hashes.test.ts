import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { completeBlocks, TokenHasher } from "./block-hash.ts";
import { PromptHashes } from "./prompt-hashes.ts";

test("hashes are made when they are asked for, at most twice as many, and are those of the whole", () => {
  const hasher = new TokenHasher();
  const chance = new SeededChance(3n);
  for (const [blockTokens, aheadTokens, stepBlocks] of [
    [4, 0, 32],
    [16, 1, 7],
    [1, 0, 1],
  ] as const) {
    const hashes = new PromptHashes(hasher, { blockTokens, aheadTokens, stepBlocks });
    for (let round = 0; round < 20; round++) {
      const tokens = Uint32Array.from({ length: pick(chance, 2500) }, () => pick(chance, 2 ** 32));
      const blocks = completeBlocks(tokens.length, blockTokens, aheadTokens);
      const whole = new BigUint64Array(blocks);
      const objects = { blocks: Uint32Array.of(0, 5), hashes: BigUint64Array.of(9n, 8n) };
      hasher.hashContents(tokens, blockTokens, aheadTokens, 5n, 0, blocks, whole, objects);
      expect(hashes.open(tokens, 5n, objects).length).toBe(blocks);
      expect(hashes.hashed).toBe(0);
      for (let to = 0; to <= blocks; to += 1 + pick(chance, 100)) {
        expect(hashes.contents(to).subarray(0, to)).toEqual(whole.subarray(0, to));
        expect(hashes.hashed).toBeGreaterThanOrEqual(to);
        expect(hashes.hashed).toBeLessThan(Math.max(to + stepBlocks, 2 * to));
      }
      expect(hashes.contents(blocks).subarray(0, blocks)).toEqual(whole);
    }
  }
});

test("a block that is not complete has no hash to ask for", () => {
  const hashes = new PromptHashes(new TokenHasher(), { blockTokens: 4 }).open(new Uint32Array(7), 0n);
  expect(() => hashes.contents(2)).toThrow("only complete blocks have a hash");
});
