import { expect, test } from "vitest";
import { type BlockHasher, TokenHasher } from "./block-hash.ts";
import { TokenLines } from "./token-line.ts";

const NAMING = { blockTokens: 2, seed: 5n };
const ids = (...values: number[]) => Uint32Array.of(...values);

/** Hashes, and counts the blocks. */
class CountingHasher implements BlockHasher {
  blocks = 0;
  readonly #hasher = new TokenHasher();

  hashBlocks(...args: Parameters<BlockHasher["hashBlocks"]>): number {
    const count = this.#hasher.hashBlocks(...args);
    this.blocks += count - (args[5] ?? 0);
    return count;
  }
}

test("a prompt that goes on from another pays for its own blocks", () => {
  const hasher = new CountingHasher();
  const lines = new TokenLines(hasher);
  const line = lines.begin(ids(1, 2, 3, 4, 5));
  const before = line.first(5);
  const first = lines.blockHashes(before, NAMING);
  expect(hasher.blocks).toBe(2);
  expect(line.extend(5, ids(6, 7, 8))).toBe(true);
  const hashes = lines.blockHashes(line.first(8), NAMING);
  expect(hasher.blocks).toBe(4);
  expect(hashes.subarray(0, 2)).toEqual(first);
  expect(lines.blockHashes(before, NAMING)).toEqual(first);
  expect(hasher.blocks).toBe(4);
  expect(lines.blockHashes(ids(1, 2, 3, 4, 5, 6, 7, 8), NAMING)).toEqual(hashes);
  expect(hasher.blocks).toBe(8);
});

test("what was written stays: other ids need a line of their own", () => {
  const lines = new TokenLines(new TokenHasher());
  const line = lines.begin(ids(1, 2, 3, 4));
  const whole = line.first(4);
  expect(line.extend(2, ids(3, 9))).toBe(false);
  expect(line.extend(2, ids(3))).toBe(true);
  expect(line.extend(2, ids(3, 4, 5))).toBe(true);
  const other = line.fork(2, ids(9));
  expect([...whole]).toEqual([1, 2, 3, 4]);
  expect([...line.first(line.length)]).toEqual([1, 2, 3, 4, 5]);
  expect([...other.first(other.length)]).toEqual([1, 2, 9]);
});

test("a fork keeps the hashes of what it shares", () => {
  const hasher = new CountingHasher();
  const lines = new TokenLines(hasher);
  const line = lines.begin(ids(1, 2, 3, 4, 5, 6));
  lines.blockHashes(line.first(6), NAMING);
  const fork = line.fork(4, ids(7, 8));
  const hashes = lines.blockHashes(fork.first(6), NAMING);
  expect(hasher.blocks).toBe(4);
  expect(hashes).toEqual(lines.blockHashes(ids(1, 2, 3, 4, 7, 8), NAMING));
});

test("two namings are kept, and their bytes are told", () => {
  const hasher = new CountingHasher();
  const lines = new TokenLines(hasher);
  const line = lines.begin(ids(1, 2, 3, 4));
  let bytes = line.bytes;
  line.onHashes = (more) => {
    bytes += more;
  };
  for (const seed of [1n, 2n, 1n]) lines.blockHashes(line.first(4), { ...NAMING, seed });
  expect(hasher.blocks).toBe(4);
  const two = line.bytes;
  expect(two).toBeGreaterThan(4 * Uint32Array.BYTES_PER_ELEMENT);
  lines.blockHashes(line.first(4), { ...NAMING, seed: 3n });
  expect(line.bytes).toBe(two);
  lines.blockHashes(line.first(4), { ...NAMING, seed: 1n });
  expect(hasher.blocks).toBe(8);
  expect(bytes).toBe(line.bytes);
});
