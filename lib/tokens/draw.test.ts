import { expect, test } from "vitest";
import { uniformDraw } from "./draw.ts";

test("the golden draws hold", () => {
  expect(uniformDraw(0n, 0, 0)).toBe(0.39904647231489565);
  expect(uniformDraw(1337n, 0, 1)).toBe(0.8200935792323353);
  expect(uniformDraw(0xffffffffffffffffn, 3, 4095)).toBe(0.35301017074181296);
});

test("draws differ by seed, choice, position and lane, and fill the range evenly", () => {
  const some = [uniformDraw(1n, 0, 0), uniformDraw(2n, 0, 0), uniformDraw(1n, 1, 0), uniformDraw(1n, 0, 1)];
  expect(new Set([...some, uniformDraw(1n, 0, 0, 1)]).size).toBe(5);
  let sum = 0;
  for (let position = 0; position < 4000; position++) sum += uniformDraw(7n, 0, position);
  expect(sum / 4000).toBeGreaterThan(0.48);
  expect(sum / 4000).toBeLessThan(0.52);
});
