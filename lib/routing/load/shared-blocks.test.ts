import { expect, test } from "vitest";
import { pick, SeededChance } from "#lib/base/chance";
import { eachSeed } from "../../../test/support/seeds.ts";
import { SharedBlocks, wordsOf } from "./shared-blocks.ts";

function prompt(...contents: bigint[]): Uint32Array {
  return wordsOf(BigUint64Array.from(contents));
}

test("a prefix that several have is counted once, and as long as one of them is there", () => {
  const shared = new SharedBlocks();
  shared.add(prompt(1n, 2n, 3n));
  expect(shared.distinct).toBe(3);
  expect(shared.countShared(prompt(1n, 2n, 9n, 3n))).toBe(2);
  shared.add(prompt(1n, 2n, 9n, 3n));
  expect(shared.distinct).toBe(5);
  shared.add(prompt(1n, 2n));
  shared.add(prompt(1n, 2n, 3n));
  expect(shared.distinct).toBe(5);
  shared.remove(prompt(1n, 2n, 3n));
  expect(shared.distinct).toBe(5);
  shared.remove(prompt(1n, 2n, 9n, 3n));
  expect(shared.distinct).toBe(3);
  shared.remove(prompt(1n, 2n, 3n));
  expect(shared.distinct).toBe(2);
  shared.remove(prompt(1n, 2n));
  expect(shared).toMatchObject({ distinct: 0, prompts: 0 });
});

test("the same block behind another one is another, and half of a hash is not a block", () => {
  const shared = new SharedBlocks();
  shared.add(prompt(7n, 8n));
  expect(shared.countShared(prompt(8n))).toBe(0);
  expect(shared.countShared(prompt((5n << 32n) | 7n))).toBe(0);
  expect(shared.countShared(prompt(7n, (5n << 32n) | 8n))).toBe(1);
  expect(shared.countShared(prompt())).toBe(0);
});

test("any prompts that come and go are counted as a set of prefixes counts them", () => {
  eachSeed(50, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const shared = new SharedBlocks();
    const there: bigint[][] = [];
    const prefixesOf = (contents: bigint[]) => contents.map((_, at) => contents.slice(0, at + 1).join());
    for (let turn = 0; turn < 300; turn++) {
      const contents = Array.from(
        { length: pick(chance, 7) },
        () => BigInt(pick(chance, 3)) << (chance.next() < 0.5 ? 32n : 0n),
      );
      const known = new Set(there.flatMap(prefixesOf));
      const common = prefixesOf(contents).filter((prefix) => known.has(prefix)).length;
      expect(shared.countShared(prompt(...contents))).toBe(common);
      if (chance.next() < 0.55 || there.length === 0) {
        there.push(contents);
        shared.add(prompt(...contents));
      } else {
        const [gone] = there.splice(pick(chance, there.length), 1);
        shared.remove(prompt(...gone!));
      }
      expect(shared.distinct).toBe(new Set(there.flatMap(prefixesOf)).size);
      expect(shared.prompts).toBe(there.length);
    }
  });
});
