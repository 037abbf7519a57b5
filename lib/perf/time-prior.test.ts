import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { TimePriorSchema } from "#gen/stator/discovery/v1/discovery_pb";
import type { TimePrior } from "./time-model.ts";
import { NO_TIME, parseTimePrior, passMsOf } from "./time-prior.ts";

const PRIOR: TimePrior = {
  ...{ passMs: 1, prefillMs: 2, prefillTokenMs: 0.5, prefillSquareMs: 0.01, prefillContextMs: 0.001 },
  ...{ decodeMs: 3, decodeSequenceMs: 0.25, decodeContextMs: 0.002, decodeFillMs: 20, decodeFillSquareMs: -10 },
  ...{ decodeLeastMs: 5, passTokens: 512 },
};
const IDLE = {
  prefillTokens: 0,
  prefillContextTokens: 0,
  decodeSequences: 0,
  decodeContextTokens: 0,
  poolTokens: 1000,
};

test("a pass takes the sum of its parts", () => {
  expect(passMsOf(PRIOR, IDLE)).toBe(1);
  const prefill = { ...IDLE, prefillTokens: 10, prefillContextTokens: 200 };
  expect(passMsOf(PRIOR, prefill)).toBeCloseTo(1 + 2 + 5 + 1 + 0.2);
  const decode = { ...IDLE, decodeSequences: 4, decodeContextTokens: 300 };
  expect(passMsOf(PRIOR, decode)).toBeCloseTo(1 + 3 + 1 + 0.6 + 6 - 0.9);
  expect(passMsOf(PRIOR, { ...prefill, ...{ decodeSequences: 4, decodeContextTokens: 300 } })).toBeCloseTo(
    1 + 8.2 + 4.6 + 10 - 2.5,
  );
});

test("decoding takes its least, and no pool is more than full", () => {
  expect(passMsOf(PRIOR, { ...IDLE, decodeSequences: 1 })).toBe(1 + 5);
  const full = { ...IDLE, decodeSequences: 1, decodeContextTokens: 1000 };
  expect(passMsOf(PRIOR, full)).toBeCloseTo(1 + 3.25 + 2 + 10);
  expect(passMsOf(PRIOR, { ...full, poolTokens: 100 })).toBeCloseTo(passMsOf(PRIOR, full));
  expect(passMsOf(PRIOR, { ...full, poolTokens: 0 })).toBeCloseTo(passMsOf(PRIOR, full));
});

test("a profile of 0.125 ms for each new token and 10 ms when any sequence decodes is a prior", () => {
  const linear = { ...NO_TIME, prefillTokenMs: 0.125, decodeMs: 10 };
  expect(passMsOf(linear, { ...IDLE, prefillTokens: 80, prefillContextTokens: 8_000 })).toBe(10);
  expect(passMsOf(linear, { ...IDLE, decodeSequences: 40, decodeContextTokens: 900 })).toBe(10);
  expect(passMsOf(linear, { ...IDLE, prefillTokens: 8, decodeSequences: 1 })).toBe(11);
});

test("a card's prior is read back as it was written", () => {
  const message = create(TimePriorSchema, { ...PRIOR });
  expect(parseTimePrior(fromBinary(TimePriorSchema, toBinary(TimePriorSchema, message)))).toEqual(PRIOR);
  expect(parseTimePrior(undefined)).toBeUndefined();
  expect(parseTimePrior(create(TimePriorSchema, { passTokens: 1 })), "no time at all").toEqual({
    ...NO_TIME,
    passTokens: 1,
  });
});

test("a field of a later build is not one of its parts", () => {
  const later = Uint8Array.of(...toBinary(TimePriorSchema, create(TimePriorSchema, { ...PRIOR })), 0xf8, 0x07, 0x05);
  expect(parseTimePrior(fromBinary(TimePriorSchema, later))).toEqual(PRIOR);
});

const PARTS = Object.keys(PRIOR).filter((name) => name !== "passTokens" && name !== "decodeFillSquareMs");
test.each([
  ...PARTS.flatMap((part) => [-1e-9, Number.NaN, Number.POSITIVE_INFINITY, 2e9].map((value) => ({ [part]: value }))),
  ...[Number.NaN, Number.NEGATIVE_INFINITY, 2e9, -23.1].map((decodeFillSquareMs) => ({ decodeFillSquareMs })),
  { passTokens: 0 },
])("a card that says %j says nothing", (nonsense) => {
  expect(parseTimePrior(create(TimePriorSchema, { ...PRIOR, ...nonsense }))).toBeUndefined();
});
