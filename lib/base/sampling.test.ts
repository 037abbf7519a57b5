import { describe, expect, it } from "vitest";
import {
  ANSWER_RANGES,
  describeRange,
  fitsRange,
  isSamplingSetting,
  parseSampling,
  SAMPLING_RANGES,
} from "./sampling.ts";

describe("a sampling setting", () => {
  it("has bounds that belong to its range, or do not", () => {
    const { temperature, top_p, top_k } = SAMPLING_RANGES;
    expect([0, 2, -0.1, 2.1, Number.NaN].map((value) => fitsRange(temperature, value))).toEqual([
      ...[true, true],
      ...[false, false, false],
    ]);
    expect([0, 1e-9, 1, 1.1].map((value) => fitsRange(top_p, value))).toEqual([false, true, true, false]);
    expect([-1, 0, 40, 0.5, -2].map((value) => fitsRange(top_k, value))).toEqual([true, true, true, false, false]);
    expect([describeRange(temperature), describeRange(top_p)]).toEqual(["0 to 2", "above 0, at most 1"]);
  });

  it("is held by every number of an answer at its edges", () => {
    for (const range of Object.values(ANSWER_RANGES)) {
      const { least, most } = range;
      const edges = [least - 1, least, most, most + 1, Number.NaN];
      expect(edges.map((value) => fitsRange(range, value))).toEqual([false, true, true, false, false]);
    }
    expect([fitsRange(ANSWER_RANGES.choices, 1.5), fitsRange(ANSWER_RANGES.bias, 1.5)]).toEqual([false, true]);
  });

  it("is known by its own name alone", () => {
    expect(["top_p", "topP", "seed", "toString"].map(isSamplingSetting)).toEqual([true, false, false, false]);
  });
});

describe("a list of settings", () => {
  it.each([
    ["temperature=0.7,top_p=0.9", { alone: false, values: { temperature: 0.7, top_p: 0.9 } }],
    [" top_k = 40 ", { alone: false, values: { top_k: 40 } }],
    ["none", { alone: true, values: {} }],
    ["none,min_p=0", { alone: true, values: { min_p: 0 } }],
  ])("reads %s", (text, said) => expect(parseSampling(text)).toEqual(said));

  it.each([
    ["", "NAME=VALUE"],
    ["temp=1", "temperature, top_k"],
    ["temperature", "for temperature a value 0 to 2"],
    ["temperature=", "for temperature a value 0 to 2"],
    ["temperature=3", "for temperature a value 0 to 2"],
    ["top_p=0.5=0.6", "NAME=VALUE"],
    ["top_k=1.5", "for top_k"],
  ])("refuses %j", (text, expected) =>
    expect(parseSampling(text)).toEqual({ expected: expect.stringContaining(expected) }),
  );
});
