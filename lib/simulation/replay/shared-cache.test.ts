import { expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { type Content, ContentHashes, joined } from "./content.ts";
import { SharedCache } from "./shared-cache.ts";

const below = (chance: SeededChance, count: number): number => Math.floor(chance.next() * count);

/** A content of stretches of any length, of few names. */
function drawContent(chance: SeededChance): Content {
  const count = 1 + below(chance, 4);
  const names = BigUint64Array.from({ length: count }, () => BigInt(below(chance, 3)));
  let end = 0;
  return { names, ends: Uint32Array.from({ length: count }, () => (end += 1 + below(chance, 12))) };
}

test.each([1, 2, 3, 4, 5, 6])("as much is found as the blocks of all before say, seed %i", (seed) => {
  const chance = new SeededChance(BigInt(seed));
  const blockTokens = 1 + below(chance, 8);
  const hashes = new ContentHashes(blockTokens);
  const cache = new SharedCache(blockTokens);
  const held = new Set<bigint>();
  for (let step = 0; step < 200; step++) {
    const prompt = drawContent(chance);
    const blocks = [...hashes.prompt(prompt).hashes];
    const whole = blocks.findIndex((hash) => !held.has(hash));
    const left = Math.floor((prompt.ends.at(-1)! - 1) / blockTokens);
    expect(cache.meet(prompt)).toBe(Math.min(whole < 0 ? blocks.length : whole, left) * blockTokens);
    for (const hash of blocks) held.add(hash);
    if (below(chance, 2) === 0) continue;
    const answered = joined(prompt, drawContent(chance));
    cache.append(answered);
    for (const hash of hashes.prompt(answered).hashes) held.add(hash);
  }
});
