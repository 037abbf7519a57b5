import { expect, it } from "vitest";
import { pick, SeededChance } from "./chance.ts";

it("a seed draws the numbers of splitmix64", () => {
  // The first five of the reference implementation for this seed.
  const known = [
    ...[6457827717110365317n, 3203168211198807973n, 9817491932198370423n],
    ...[4593380528125082431n, 16408922859458223821n],
  ];
  const [ids, numbers] = [new SeededChance(1_234_567n), new SeededChance(1_234_567n)];
  expect(known.map(() => ids.id())).toEqual(known);
  expect(known.map(() => numbers.next())).toEqual(known.map((value) => Number(value >> 11n) / 2 ** 53));
});

it("draws what the formula says of 64 bits as one number, from any seed", () => {
  for (const seed of [0n, 1n, 2n ** 32n - 1n, 2n ** 63n, 2n ** 64n - 1n, -5n]) {
    const chance = new SeededChance(seed);
    let state = seed;
    for (let draw = 0; draw < 2_000; draw++) {
      state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
      let z = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
      z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
      expect(chance.id()).toBe(z ^ (z >> 31n));
    }
  }
});

it("picks every number below a count and no other", () => {
  const chance = new SeededChance(1n);
  const seen = Array.from({ length: 200 }, () => pick(chance, 3));
  expect(new Set(seen)).toEqual(new Set([0, 1, 2]));
  expect(pick({ next: () => 1 - Number.EPSILON / 2, id: () => 1n }, 3)).toBe(2);
});
