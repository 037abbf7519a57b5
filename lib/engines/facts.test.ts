import { expect, test } from "vitest";
import { countOf, sizeOf } from "./facts.ts";

test("counts and sizes as people read them", () => {
  expect(countOf(32_768, "tokens")).toBe("32,768 tokens");
  const sizes = [0, 999, 1000, 17.4 * 2 ** 20, 235.2 * 2 ** 20, 999.6 * 2 ** 20, 7 * 2 ** 40];
  expect(sizes.map(sizeOf)).toEqual(["0 bytes", "999 bytes", "1.0 KiB", "17.4 MiB", "235 MiB", "1000 MiB", "7.0 TiB"]);
});
