import { expect, test } from "vitest";
import { NaturalWriter, TEXT_KINDS } from "./natural-text.ts";

test.each(TEXT_KINDS)("%s is the same for a seed, goes on with new text, and holds no lone surrogate", (kind) => {
  const [one, other] = [new NaturalWriter(kind, 3), new NaturalWriter(kind, 3)];
  const text = one.bytes(20_000);
  expect(Buffer.byteLength(text)).toBeGreaterThanOrEqual(20_000);
  expect(text).toBe(other.bytes(20_000));
  expect(text.isWellFormed()).toBe(true);
  expect(one.units(5000)).toHaveLength(5000);
  const lines = new Set(text.split("\n").filter((line) => line.length > 60));
  const repeated = one
    .bytes(20_000)
    .split("\n")
    .filter((line) => lines.has(line));
  expect(repeated).toEqual([]);
});

test("few words are most of a prose, and every text has new ones", () => {
  const words = (seed: number) =>
    new NaturalWriter("prose", seed)
      .bytes(100_000)
      .toLowerCase()
      .match(/\p{L}+/gu) ?? [];
  const [one, other] = [words(1), new Set(words(2))];
  const counts = new Map<string, number>();
  for (const word of one) counts.set(word, (counts.get(word) ?? 0) + 1);
  const frequent = [...counts.values()].sort((left, right) => right - left).slice(0, 100);
  const share = frequent.reduce((sum, count) => sum + count, 0) / one.length;
  expect(share).toBeGreaterThan(0.3);
  expect(share).toBeLessThan(0.7);
  expect([...counts.keys()].filter((word) => !other.has(word)).length).toBeGreaterThan(counts.size / 10);
});
