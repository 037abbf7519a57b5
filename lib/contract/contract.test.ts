import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SeededChance } from "#lib/base/chance";
import { StatorError } from "#lib/base/errors";
import { eachSeed } from "../../test/support/seeds.ts";
import { compareContracts } from "./compare.ts";
import { type Contract, readImage } from "./contract.ts";
import { CONTRACT_LIMITS } from "./limits.ts";

const IMAGE = readFileSync(new URL("../../test/contract/accepted.binpb", import.meta.url));

test("an image is read whole, without what google.protobuf declares", () => {
  const contract = readImage(IMAGE, "accepted");
  expect(contract.elements.has("stator.worker.v1.Step")).toBe(true);
  expect([...contract.files.keys()].filter((file) => file.startsWith("google/protobuf/"))).toEqual([]);
  expect(compareContracts(contract, readImage(IMAGE, "again"))).toEqual([]);
});

describe("bytes that are no image are refused in one sentence", () => {
  test.each([
    ["nothing", new Uint8Array(), "x is damaged: it is empty."],
    ["text", Buffer.from("syntax = 3"), "x is damaged: it is no FileDescriptorSet, or it was cut off."],
    [
      "an image that was cut off",
      IMAGE.subarray(0, 1_000),
      "x is damaged: it is no FileDescriptorSet, or it was cut off.",
    ],
  ])("%s", (_, bytes, sentence) => {
    expect(() => readImage(bytes, "x")).toThrow(sentence);
  });
});

test("bounds hold: bytes, elements and differences", () => {
  const small = (one: Partial<typeof CONTRACT_LIMITS>) => ({ ...CONTRACT_LIMITS, ...one });
  expect(() => readImage(IMAGE, "x", small({ imageBytes: IMAGE.length - 1 }))).toThrow("as an image");
  expect(() => readImage(IMAGE, "x", small({ elements: 10 }))).toThrow("x, in elements, has reached its limit of 10.");
  const whole = readImage(IMAGE, "x");
  const none: Contract = { ...whole, files: new Map(), elements: new Map() };
  expect(() => compareContracts(none, whole, small({ differences: 3 }))).toThrow("limit of 3");
});

test("an image that was cut off or has flipped bits is compared or refused, and nothing else happens", () => {
  const whole = readImage(IMAGE, "whole");
  const outcomes = { read: 0, refused: 0 };
  eachSeed(150, (seed) => {
    const chance = new SeededChance(BigInt(seed));
    const draw = (count: number): number => Math.floor(chance.next() * count);
    const bytes = Buffer.from(seed % 3 === 0 ? IMAGE.subarray(0, draw(IMAGE.length)) : IMAGE);
    for (let flips = seed % 3 === 0 ? 0 : 1 + draw(8); flips > 0; flips--) bytes[draw(bytes.length)]! ^= 1 << draw(8);
    try {
      const damaged = readImage(bytes, "damaged");
      compareContracts(whole, damaged);
      compareContracts(damaged, whole);
      outcomes.read++;
    } catch (error) {
      expect(error).toBeInstanceOf(StatorError);
      outcomes.refused++;
    }
  });
  expect(outcomes.read).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
});
