import { expect, test } from "vitest";
import { isKey } from "./keys.ts";
import { adapterKey, instanceKey, modelKey } from "./record-keys.ts";

test("records stand under keys that any store takes, whatever their names", () => {
  expect(instanceKey(255n)).toBe("instances/00000000000000ff");
  expect(modelKey("Org/Model-7B:Q4_K", 2n ** 64n - 1n)).toBe(
    "models/_4frg_2f_4dodel-7_42_3a_514_5f_4b/ffffffffffffffff",
  );
  expect(adapterKey("a", 1n)).toBe("adapters/a/0000000000000001");
  for (const name of ["..", "", "ä/../b", "_"]) expect(isKey(modelKey(name, 1n)), name).toBe(name !== "");
});
