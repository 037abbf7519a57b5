import { expect, it } from "vitest";
import { restoreSeed } from "./exact-seed.ts";

function seedOf(text: string): unknown {
  const body = JSON.parse(text) as { seed?: unknown };
  restoreSeed(body, text);
  return body.seed;
}

it("gives back every int64 that JSON.parse rounds", () => {
  for (const seed of [2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 60n) - 7n]) {
    expect(seedOf(`{"a": 1, "seed" :\n${seed}, "b": 2}`)).toBe(seed);
  }
  expect(seedOf('{"seed": 9007199254740992}')).toBe(2n ** 53n);
});

it("leaves safe numbers and other values alone", () => {
  for (const seed of [0, -1, 2 ** 53 - 1, 0.5, "7", null]) expect(seedOf(JSON.stringify({ seed }))).toBe(seed);
  for (const body of [undefined, null, 3, "seed", [1]]) expect(() => restoreSeed(body, "")).not.toThrow();
});

it("leaves rounded what the text does not say for certain", () => {
  const rounded = Number(2n ** 60n);
  expect(seedOf(`{"x": {"seed": ${2n ** 60n + 1n}}, "seed": ${2n ** 60n + 2n}}`)).toBe(rounded);
  expect(seedOf('{"seed": 1e18}')).toBe(1e18);
  expect(seedOf(`{"\\u0073eed": ${2n ** 60n + 1n}}`)).toBe(rounded);
});

it("is not misled by a text that looks like a member", () => {
  const seed = 2n ** 60n + 1n;
  const prompt = JSON.stringify(`{"seed": ${2n ** 60n + 2n}}`);
  expect(seedOf(`{"prompt": ${prompt}, "seed": ${seed}}`)).toBe(seed);
});
